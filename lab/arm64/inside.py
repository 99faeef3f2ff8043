"""The part that runs emulated: verification of one precision on ONNX Runtime, as one line of JSON.

`mde-bundle verify` does the same for every precision before it prints anything; emulated, that takes too long.
"""

import json
import platform
import sys
from pathlib import Path

from mde_runtime.backends import open_session
from mde_runtime.bundle import read_bundle
from mde_runtime.precision import PRECISIONS
from mde_runtime.verify import verify


def main(path: str, asked: str) -> None:
    """Run the golden frames, and print the figures that the table needs."""
    bundle = read_bundle(Path(path))
    (precision,) = (one for one in PRECISIONS if one == asked)
    session = open_session("onnxruntime-cpu", bundle.graph(precision))
    try:
        found = verify(bundle, "onnxruntime-cpu", precision, session)
    finally:
        session.close()
    figures = {
        "machine": platform.machine(),
        "executor": found.executor,
        "rmse_worst_m": found.parity.rmse_worst_m,
        "p999_m": found.parity.p999_m,
        "breaches": found.breaches,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
