"""One network at one size: exported, certified, opened as a robot does, and compared with its publisher's pipeline."""

import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.public_networks.law import compared, random_picture, worst
from mde_export.exporting import export
from mde_export.request.request import Request
from mde_export.steps import steps
from mde_runtime import DepthEstimator
from mde_runtime.bundle import read_bundle
from mde_runtime.command import say

NUM_PICTURES = 5
SEED = 11


@dataclass(frozen=True)
class Row:
    """What came out, metres. `why` is empty where a bundle was made."""

    network: str
    height_px: int
    width_px: int
    network_height_px: int = 0
    network_width_px: int = 0
    rmse_m: float | None = None  # to the publisher's depth, of the picture nearest to breaking the law
    span_m: float | None = None
    std_m: float | None = None  # of the publisher's depth of that picture
    keeps_the_law: bool = False
    certificate_m: float | None = None  # worst frame's RMSE to the PyTorch model
    export_s: float | None = None
    peak_gb: float | None = None  # of the process, transformers and PyTorch among it
    why: str = ""


def measure(name: str, request: Request, folder: Path) -> Row:
    """Export `request` and compare the bundle with the network in `folder`. Raises what the export raises."""
    from lab.public_networks.publisher import publishers_depth

    assert request.source_size is not None
    height_px, width_px = size = request.source_size
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch, steps(say) as step:
        bundle = Path(scratch) / "network.mde"
        exported = export(_to(request, bundle), step)
        export_s = time.perf_counter() - started
        contract = read_bundle(bundle).contract
        chance = np.random.default_rng(SEED)
        pictures = [random_picture(size, chance) for _ in range(NUM_PICTURES)]
        with DepthEstimator.open(bundle, "onnxruntime-cpu", "fp32") as estimate:
            found = worst(compared(estimate, publishers_depth(folder, contract), pictures, contract.from_network))
    return Row(
        network=name,
        height_px=height_px,
        width_px=width_px,
        network_height_px=contract.to_network.height_px,
        network_width_px=contract.to_network.width_px,
        rmse_m=found.rmse_m,
        span_m=found.span_m,
        std_m=found.std_m,
        keeps_the_law=found.keeps_the_law,
        certificate_m=exported.certificates[0].parity.rmse_worst_m,
        export_s=export_s,
        peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    )


def _to(request: Request, bundle: Path) -> Request:
    from dataclasses import replace

    return replace(request, out=bundle, engine="none")
