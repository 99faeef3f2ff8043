"""Our INT8 beside `onnxruntime.quantization.quantize_static`: the same graph, frames and excluded layers.

    python -m lab.int8_comparison BUNDLE FRAMES

FRAMES is a folder of 64 pictures or more. Nothing is searched for: both quantise every layer that our rules let be
INT8. Each graph is computed literally on all frames and held against the bundle's FP32 graph. Theirs is made with
symmetric int8 activations, as ours, and with asymmetric uint8 ones, its form for x86.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from mde_export.frames import pictures_from
from mde_export.graph.canonical import from_bytes, stripped, to_bytes
from mde_export.judge.certify import attempt
from mde_export.judge.evidence import Evidence, ManyFrames, evidence_of
from mde_export.judge.execute import Executor
from mde_export.precision.clipping import METHODS, histograms
from mde_export.precision.int8 import activations_of
from mde_export.precision.islands import is_weighted, kept_by_rule, names_in, unquantizable
from mde_export.precision.lower import Int8
from mde_runtime.bundle import read_bundle
from mde_runtime.parity import Parity
from mde_runtime.progress import progress

NUM_CALIBRATION_FRAMES = 16  # theirs holds every activation of every frame in memory
TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}


class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library publishes no types
    """Frames, one at a time, as the library asks for them."""

    def __init__(self, frames: ManyFrames):
        self._feeds = ({"frame": frame[None]} for frame in frames)

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        """The next frame; None: there is none."""
        return next(self._feeds, None)


def evidence_from(bundle: Path, folder: Path) -> tuple[ir.Model, Evidence]:
    """The bundle's FP32 graph, and what it makes of the pictures."""
    opened = read_bundle(bundle)
    graph = opened.graph("fp32")
    pictures = pictures_from(folder, opened.contract)
    depth_m, num_nonfinite = Executor(graph, literal=True).depth(pictures.frames)
    return stripped(from_bytes(graph)), evidence_of(pictures, depth_m, num_nonfinite, "FP32", opened.contract)


def ours(model: ir.Model, evidence: Evidence, num_frames: int) -> Iterator[tuple[str, Parity]]:
    """Each of our methods, in the symmetric form and in the one with unsigned activations."""
    islands = (*kept_by_rule(model), *unquantizable(model))
    names = activations_of(model, names_in(islands))
    seen = histograms(model, names, evidence.spaced(num_frames).pictures.frames)
    for method, largest_of in METHODS.items():
        trial = Int8(model, {name: largest_of(seen[name]) for name in names}, method)(islands, evidence)
        yield f"ours, {method}, {num_frames} frames, int8", trial.parity
        if trial.unsigned is not None and trial.unsigned != trial.parity:
            yield f"ours, {method}, {num_frames} frames, uint8 where never negative", trial.unsigned


def theirs(model: ir.Model, evidence: Evidence) -> Iterator[tuple[str, Parity]]:
    """Each method of `quantize_static`, on the layers that ours quantises."""
    kept = names_in((*kept_by_rule(model), *unquantizable(model)))
    layers = [str(node.name) for node in model.graph if is_weighted(node) and node.name not in kept]
    operators = sorted({node.op_type for node in model.graph if node.name in layers})
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        before.write_bytes(to_bytes(model))
        for method in CalibrationMethod:
            for name, activations in TYPES.items():
                try:
                    quantize_static(
                        before,
                        after,
                        Reader(evidence.spaced(NUM_CALIBRATION_FRAMES).pictures.frames),
                        quant_format=QuantFormat.QDQ,
                        op_types_to_quantize=operators,
                        nodes_to_quantize=layers,
                        per_channel=True,
                        activation_type=activations,
                        weight_type=QuantType.QInt8,
                        calibrate_method=method,
                        extra_options={"ActivationSymmetric": name == "int8", "WeightSymmetric": True},
                    )
                except Exception as error:  # noqa: BLE001  whatever the library raises: a method it does not finish
                    click.echo(f"quantize_static, {method.name}, {name}: {type(error).__name__}: {error}", err=True)
                    continue
                graph = onnx.load(after).SerializeToString()
                trial = attempt("int8", graph, evidence, stand_in=graph)
                yield f"quantize_static, {method.name.lower()}, {NUM_CALIBRATION_FRAMES} frames, {name}", trial.parity


@click.command()
@click.argument("bundle", type=click.Path(exists=True, path_type=Path))
@click.argument("frames", type=click.Path(exists=True, path_type=Path))
def main(bundle: Path, frames: Path) -> None:
    """Print a row for each way to quantise."""
    model, evidence = evidence_from(bundle, frames)
    click.echo(f"{bundle.name}, {evidence.pictures.in_words}, onnxruntime {onnxruntime.__version__}")
    num_all = len(evidence.depth_m)
    ways: list[Callable[[], Iterator[tuple[str, Parity]]]] = [
        lambda: ours(model, evidence, NUM_CALIBRATION_FRAMES),
        lambda: ours(model, evidence, num_all),
        lambda: theirs(model, evidence),
    ]
    with progress("ways to quantise") as advance:
        for way in ways:
            for name, parity in way():
                click.echo(
                    f"{name}: RMSE {parity.rmse_m * 100:.2f} cm, worst frame {parity.rmse_worst_m * 100:.2f} cm, "
                    f"R² {parity.r2:.4f}"
                )
                advance()


if __name__ == "__main__":
    main()
