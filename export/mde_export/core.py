"""The bare network for vendors' compilers, float in and map out, static; with its inputs, to calibrate by."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir

from mde_export.graph.canonical import to_bytes
from mde_export.graph.graft import stages_before
from mde_export.graph.stages import FRAME, PIXELS
from mde_export.judge.evidence import Evidence
from mde_export.judge.execute import Executor
from mde_runtime import records


def core_contents(network: ir.Model, evidence: Evidence) -> tuple[Callable[[Path], None], ...]:
    """What writes the network, the contract and the inputs, in the order of `outputs.core_files`.

    inputs.npy is float32 (frames, 3, h, w): the frames of the certificate as the contract's stages hand them on.
    """
    contract = evidence.contract

    def write_inputs(path: Path) -> None:
        before, frames = Executor(to_bytes(stages_before(contract)), literal=True), evidence.pictures.frames
        shape = (len(frames), 3, contract.to_network.height_px, contract.to_network.width_px)
        with path.open("wb") as file:  # frame by frame: all of them at once may fill the memory
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for frame in frames:
                file.write(before.run({FRAME: frame[None]})[PIXELS].astype("<f4").tobytes())

    return (
        lambda path: _write(path, to_bytes(network)),
        lambda path: _write(path, records.dumps(contract).encode()),
        write_inputs,
    )


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
