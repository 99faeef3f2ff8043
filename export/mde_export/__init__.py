"""A depth network in, a bundle with certificates out. Loads nothing heavy itself: what exports loads with the call."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mde_runtime import installation
from mde_runtime.errors import MachineError

if TYPE_CHECKING:
    from mde_export.exporting import Exported
    from mde_runtime.contract import ColourOrder, Distance, Interpolation, Kind, Resize

__all__ = ["export"]

Triple = tuple[float, float, float]


def export(
    model: str | Path,
    out: str | Path | None = None,
    *,
    fp16: bool = False,
    int8: bool = False,
    frames: str | Path | None = None,
    num_frames: int | None = None,
    golden: Literal["heldout", "synth"] = "heldout",
    weights: str | Path | None = None,
    output: str | None = None,
    network_size: tuple[int, int] | None = None,
    resize: "Resize | None" = None,
    mean: str | Triple | None = None,
    std: Triple | None = None,
    kind: "Kind | None" = None,
    range_m: tuple[float, float] | None = None,
    colour: "ColourOrder | None" = None,
    interpolation: "Interpolation | None" = None,
    antialias: bool | None = None,
    distance: "Distance | None" = None,
    settings: Sequence[str] = (),
    preset: str | None = None,
    contract: str | Path | None = None,
    source_size: tuple[int, int] | None = None,
    measured: str | Path | None = None,
    scale: float | None = None,
    shift: float | None = None,
    focal_px: float | None = None,
    target: str | None = None,
    engine: Literal["auto", "none", "tensorrt", "tensorrt-rtx"] = "none",
    batch: tuple[int, int, int] | None = None,
    accumulation: Literal["float", "half"] = "float",
    emit: str | Path | None = None,
    emit_core: str | Path | None = None,
    keep_rejected: str | Path | None = None,
    tell: Callable[[str], None] = print,
) -> "Exported":
    """Make a bundle of a model, as the command `mde-export` does; every argument is its option of that name.

    model: a checkpoint of mde-train, an ONNX file, a bundle, `package.module:build` or `hf:ORG/NAME`. out: the bundle;
    None: beside the model, or in the current folder where the model is no file. Sizes are height, width in px; settings
    are `--set`'s KEY=VALUE; no engine is built unless one is asked for. tell: what to do with lines of progress.

    Gives the bundle's path, its certificates and what was assumed (`.warnings`). Nothing is written where it raises:
    VerdictError for a graph that misses its limits, BadInputError for a model or frames that cannot be read, UsageError
    for arguments that do not go together, MachineError where a library is missing.

        exported = mde_export.export("runs/fast/best.ckpt", "fast.mde", fp16=True)
        exported.certificates[0].parity.rmse_worst_m
    """
    from mde_runtime.precision import Precision

    try:
        from mde_export.exporting import export as export_request
        from mde_export.request.described import Described
        from mde_export.request.request import Request
        from mde_export.steps import steps
    except ImportError as error:
        raise without_libraries(error) from error
    precisions: tuple[tuple[Precision, bool], ...] = (("fp16", fp16), ("int8", int8))
    described = Described(
        network_size=network_size,
        colour=colour,
        resize=resize,
        interpolation=interpolation,
        antialias=antialias,
        mean=mean,
        std=std,
        kind=kind,
        range_m=range_m,
        distance=distance,
    )
    request = Request(
        model=str(model),
        out=_path(out),
        precisions=tuple(precision for precision, is_asked in precisions if is_asked),
        frames=_path(frames),
        num_frames=num_frames,
        contract=_path(contract),
        described=described,
        settings=tuple(settings),
        preset=preset,
        weights=_path(weights),
        output=output,
        source_size=source_size,
        scale=scale,
        shift=shift,
        focal_px=focal_px,
        measured=_path(measured),
        batch=batch,
        target=target,
        accumulation=accumulation,
        engine=engine,
        golden=golden,
        emit=_path(emit),
        emit_core=_path(emit_core),
        keep_rejected=_path(keep_rejected),
    )
    with steps(tell) as step:
        return export_request(request, step)


def without_libraries(error: ImportError) -> MachineError:
    """The refusal where what an export needs is not installed."""
    return MachineError(
        f"mde-export's dependencies are not installed ({error}); install them: {installation.adding('export')}"
    )


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
