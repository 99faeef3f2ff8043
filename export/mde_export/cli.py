"""mde-export: a model in, a bundle with certificates out, or a clear refusal."""

from typing import TYPE_CHECKING, Any, get_args

import click

from mde_export import without_libraries
from mde_export.precision.target_table import TARGETS
from mde_export.request.choices import MIN_FRAMES, Accumulation, EngineChoice, GoldenFrames
from mde_export.request.contract_options import DESCRIBED, SIZE, contract_options
from mde_export.request.presets import PRESETS
from mde_runtime.command import FOCAL_PX, PATH, Command, OneOf, Real, Several, Whole, say
from mde_runtime.engines.build import MAX_BATCH
from mde_runtime.errors import VerdictError

if TYPE_CHECKING:
    from mde_export.camera.fit import Fit
    from mde_export.exporting import Exported
    from mde_runtime.certificate import Certificate
    from mde_runtime.precision import Precision

# Dense Tensor Cores over plain FP32: 16 on an A100 (312 and 19.5 TFLOP/s in NVIDIA's data sheet), less on most others.
MOST_TIMES_FASTER = 16

BATCH = Several(Whole(1, MAX_BATCH), ":", "1:4:16")  # fewest, usual, most frames at once


def _in_order(
    _context: click.Context, option: click.Parameter, value: tuple[int, int, int] | None
) -> tuple[int, int, int] | None:
    if value is not None and not value[0] <= value[1] <= value[2]:
        raise click.BadParameter(f"{value} is not MIN:OPT:MAX frames, such as 1:4:16", param=option)
    return value


GROUPS = {
    "Bundle": ("out", "fp16", "int8", "frames", "num_frames", "golden"),
    "Network, if MODEL does not describe it": (*("weights", "output", *DESCRIBED, "settings", "preset", "contract"),),
    "Camera": ("source_size", "measured", "scale", "shift", "focal_px"),
    "Device": ("target", "engine", "batch", "accumulation"),
    "Other files": ("emit", "emit_core", "keep_rejected"),
}


@click.command(cls=Command, groups=GROUPS)
@click.argument("model")
@click.option(
    "-o",
    "--out",
    type=PATH,
    help="The bundle to write.  [default: MODEL's name with .mde; none if MODEL is a bundle]",
)
@click.option("--fp16", is_flag=True, help="Add an FP16 graph: half the size, for GPUs.")
@click.option(
    "--int8", is_flag=True, help="Add an INT8 graph: a quarter of the size, less accurate; see its certificate."
)
@click.option(
    "--frames",
    type=PATH,
    metavar="DIR",
    help="Frames to certify on: a data set, or 64 pictures or more. Without it, a checkpoint's held-out frames or "
    "rendered scenes.",
)
@click.option(
    "--num-frames",
    type=Whole(MIN_FRAMES),
    metavar="N",
    help=f"Number of frames to certify on, evenly spaced over --frames, or of scenes.  [default: {MIN_FRAMES}]",
)
@click.option("--contract", type=PATH, metavar="FILE", help="The network's inputs and outputs, as contract.json.")
@contract_options
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set any other key of the contract, such as from_network.antialias=true or to_network.rounding=uint8.",
)
@click.option(
    "--preset",
    metavar="NAME",
    type=OneOf(tuple(PRESETS)),
    help="Contract of a known public ONNX network; other options override it. A scale is --measured, or --scale and "
    "--shift. " + " ".join(f"{name}: {preset.help}." for name, preset in PRESETS.items()),
)
@click.option("--weights", type=PATH, metavar="FILE", help="Weights for package.module:build.")
@click.option(
    "--output",
    metavar="NAME|INDEX",
    help="Output that holds the depth map, if there are several; NAME:2 is its channel 2.",
)
@click.option(
    "--source-size",
    type=SIZE,
    metavar="HxW",
    help="Size of the camera's frames, px; fixed in a checkpoint.  [default: a bundle's own; the most common size in "
    "--frames; else 480x640]",
)
@click.option("--scale", type=Real(), help="Factor on the network's output, fitted to your camera.")
@click.option("--shift", type=Real(), help="Offset on the network's output, added after --scale.")
@click.option(
    "--focal-px",
    type=FOCAL_PX,
    help="Your camera's focal length in px at the frame size, for networks whose metres depend on it.",
)
@click.option(
    "--measured",
    type=PATH,
    metavar="FILE|DIR",
    help="Fit scale and shift to measured distances: a CSV of image,x,y,metres (px, m), or a data set with depth.",
)
@click.option(
    "--batch",
    type=BATCH,
    callback=_in_order,
    metavar="MIN:OPT:MAX",
    help="Accept batches of these sizes, such as 1:4:16.",
)
@click.option(
    "--engine",
    type=OneOf(get_args(EngineChoice)),
    default="auto",
    show_default=True,
    help="auto: build with TensorRT if it and a GPU are here, else print the command for the device. If a library is "
    "named and cannot build here, the export fails.",
)
@click.option(
    "--target",
    type=OneOf(tuple(TARGETS)),
    help="Target device: refuse operators it lacks; keep in FP32 those it cannot run in FP16. "
    + " ".join(f"{name}: {target.help}." for name, target in TARGETS.items()),
)
@click.option(
    "--accumulation",
    type=OneOf(get_args(Accumulation)),
    default="float",
    show_default=True,
    help="half: FP16 must also pass with FP16 accumulation, which some kernels use.",
)
@click.option(
    "--golden",
    type=OneOf(get_args(GoldenFrames)),
    default="heldout",
    show_default=True,
    help="Frames in the bundle that verify devices; synth renders them, so that private pictures stay private.",
)
@click.option("--emit", type=PATH, metavar="DIR", help="Also write the plain .onnx, contract.json and .engine here.")
@click.option(
    "--emit-core",
    type=PATH,
    metavar="DIR",
    help="Write the bare FP32 network, contract.json and calibration inputs here, for a vendor's compiler.",
)
@click.option("--keep-rejected", type=PATH, metavar="DIR", help="Folder for a graph that fails, with a report by node.")
@click.option("--explain", is_flag=True, help="Show nodes, casts, multiply-adds and bytes before and after.")
@click.option("--dry-run", is_flag=True, help="Check model, frames and measured points, and show what would be done.")
def main(
    fp16: bool,
    int8: bool,
    described: dict[str, Any],
    engine: EngineChoice,
    explain: bool,
    dry_run: bool,
    **asked: Any,  # every other option is the request's field of its name
) -> int:
    """Export MODEL to a bundle: graphs from camera frame to metres, each with a certificate.

    MODEL is a checkpoint of mde-train; hf:ORG/NAME or hf:FOLDER, a network from Hugging Face; an ONNX file; a bundle,
    to add a precision or change the camera; or package.module:build with --weights, any PyTorch network. ONNX files
    and PyTorch networks need a contract. Most of it is read from the file and from --frames, or assumed and reported;
    pass the rest as options. --emit writes the resulting contract.

    Every graph is checked against the original model before it is written. With T = 0.05 % of the depth range (1 cm
    over 20 m), the RMSE of the worst frame is at most T, for INT8 at most 40 T. If FP16 misses that, the layers that
    cost the most accuracy stay FP32. If a graph fails, the exit code is 1 and nothing is written.

    \b
    mde-export runs/street/best.ckpt --fp16 -o street.mde
    mde-export best.ckpt --fp16 --engine tensorrt-rtx --emit plain/
    mde-export hf:depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf --fp16
    mde-export net:build --weights net.pth --frames pictures/ --mean imagenet \\
        --network-size 192x256 --resize stretch --kind metric_depth --range 0:10
    mde-export midas.onnx --contract midas.json --frames pictures/ \\
        --scale 0.02 --shift 0.05
    mde-export model.mde --measured points.csv -o mycamera.mde
    mde-export model.mde --source-size 480x640 --frames pictures/ -o vga.mde
    """
    try:
        from mde_export.exporting import export
        from mde_export.request.described import Described
        from mde_export.request.request import Request
        from mde_export.steps import steps
    except ImportError as error:
        raise without_libraries(error) from error

    flags: dict[Precision, bool] = {"fp16": fp16, "int8": int8}
    request = Request(
        precisions=tuple(precision for precision, is_asked in flags.items() if is_asked),
        described=Described(**described),
        engine=engine,
        **asked,
    )
    if dry_run:
        from mde_export.dry_run import plan

        click.echo(plan(request))
        return 0
    with steps(say) as step:
        exported = export(request, step)
    if explain:
        from mde_export.explain import as_table

        click.echo(as_table(exported.figures))
    click.echo(_as_text(exported))
    for warning in exported.warnings:
        say(warning)
    if request.target and TARGETS[request.target].warning:
        say(TARGETS[request.target].in_words)
    _say_about_the_engine(exported, engine)
    return VerdictError.exit_code if exported.is_engine_wrong and engine != "auto" else 0


def _as_text(exported: "Exported") -> str:
    lines = [_fit_as_text(exported.fit)] if exported.fit else []
    shares = {figures.name: figures.repaired_share for figures in exported.figures}
    for certificate in exported.certificates:
        parity = certificate.parity
        unsigned = f" ({certificate.unsigned.rmse_worst_m * 100:.3f} cm on CPUs)" if certificate.unsigned else ""
        in_half = certificate.half_accumulation
        sums = (
            f"; with sums in half {in_half.rmse_worst_m * 100:.3f} cm on {in_half.num_frames} frames" if in_half else ""
        )
        lines.append(
            f"{certificate.precision}  worst frame {parity.rmse_worst_m * 100:.3f} cm of "
            f"{certificate.limits.rmse_worst_m * 100:g} cm{unsigned}, p99.9 {parity.p999_m * 100:.3f} cm, "
            f"bias {parity.bias_m * 100:+.4f} cm, SSIM {parity.ssim_worst:.6f}, R² {parity.r2:.6f}, "
            f"AbsRel {parity.abs_rel:.6f}, {parity.num_frames} frames"
            f"{_repair(certificate, shares[certificate.precision])}{_accuracy(certificate)}{sums}"
        )
    return "\n".join([*lines, *map(str, exported.emitted), str(exported.bundle)])


def _fit_as_text(fit: "Fit") -> str:
    unseen = f"; {fit.num_unseen} more left out, where the network does not see" if fit.num_unseen else ""
    return (
        f"scale {fit.scale:.6g}, shift {fit.shift:.6g}: RMSE on measured distances held out {fit.rmse_m:.3f} m, "
        f"{fit.rmse_before_m:.3f} m before ({fit.num_points} distances{unseen})"
    )


def _repair(certificate: "Certificate", share: float) -> str:
    """What was kept in FP32 because the graph failed without, and what that costs at most."""
    from mde_export.precision.islands import was_repaired

    num_blocks = sum(map(was_repaired, certificate.kept_fp32))
    if not num_blocks:
        return ""
    return (
        f", {num_blocks} blocks kept in FP32 with {share:.1%} of the multiply-adds (at most "
        f"{share * (MOST_TIMES_FASTER - 1):+.0%} latency, where a GPU does the rest {MOST_TIMES_FASTER} times as fast)"
    )


def _accuracy(certificate: "Certificate") -> str:
    if certificate.truth_rmse_m is None:
        return ""
    original_m, graph_m = certificate.truth_rmse_m
    return f"; RMSE to the true depth {graph_m:.3f} m, the original's {original_m:.3f} m"


def _say_about_the_engine(exported: "Exported", choice: EngineChoice) -> None:
    device = f"mde-bundle engine {exported.bundle.name}"
    if exported.engine is not None:
        name = f"The {exported.engine.flavour} {exported.engine.version} engine"
        if exported.engine.is_verified:
            say(f"{name} gives right depth here. Each other machine builds and verifies its own: {device}")
        else:
            say(f"{name} is unverified: it has not run. Where it is to run, build and verify it: {device}")
    elif exported.is_engine_wrong:
        say(f"The bundle was written without an engine. With another version of the library: {device}")
    elif choice == "auto":
        say(f"No TensorRT with a GPU here. On the device: {device}")
