"""`mde-bundle engine`: an engine built where it runs, verified, and shared with equal machines."""

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from mde_runtime.command import OUTPUT, PATH, Command, OneOf, Whole, say
from mde_runtime.engines.build import DEFAULTS, MAX_BATCH, MAX_LEVEL, BuildOptions
from mde_runtime.engines.flavours import Flavour
from mde_runtime.errors import MachineError, UsageError, VerdictError
from mde_runtime.precision import PRECISIONS, Precision

if TYPE_CHECKING:
    from mde_runtime.bundle import Bundle
    from mde_runtime.engines.key import EngineKey
    from mde_runtime.verify import Verification


GROUPS = {
    "Build": (
        *("precision", "flavour", "workspace_mib", "level", "max_batch", "tf32"),
        *("hardware_compatible", "version_compatible", "capabilities", "builds", "log"),
    ),
    "An engine of another machine": ("save", "install", "sha256"),
}


@click.command(cls=Command, groups=GROUPS)
@click.argument("bundle", type=PATH)
@click.option("--precision", type=OneOf(PRECISIONS), help="Default: fp16 if the bundle has it.")
@click.option("--flavour", type=OneOf(get_args(Flavour)), help="Default: the first one installed.")
@click.option(
    "--workspace-mib",
    type=Whole(0),
    default=DEFAULTS.workspace_mib,
    show_default=True,
    help="Workspace limit per layer.",
)
@click.option(
    "--level",
    type=Whole(0, MAX_LEVEL),
    default=DEFAULTS.optimization_level,
    show_default=True,
    help="Optimisation level, 0 to 5; higher builds slower and may run faster.",
)
@click.option(
    "--max-batch",
    type=Whole(1, MAX_BATCH),
    default=DEFAULTS.batch[2],
    show_default=True,
    help="Largest batch, if the graph has a dynamic batch.",
)
@click.option("--tf32", is_flag=True, help="Allow TF32 in place of FP32.")
@click.option("--hardware-compatible", is_flag=True, help="Also run on newer GPUs; may be slower.")
@click.option(
    "--version-compatible", is_flag=True, help="Also load in newer TensorRT; the engine embeds executable code."
)
@click.option(
    "--compute-capability",
    "capabilities",
    multiple=True,
    help="tensorrt-rtx only: compute capability to build for, e.g. 8.6.",
)
@click.option(
    "--builds", type=Whole(1), default=1, show_default=True, help="Builds to verify; the worst result counts."
)
@click.option("--save", type=OUTPUT, help="Also write the plain engine to this file, for identical machines.")
@click.option("--install", type=PATH, help="Do not build: install an engine that --save wrote on an identical machine.")
@click.option("--sha256", help="With --install: the SHA-256 that --save printed.")
@click.option("--log", type=OUTPUT, help="Write the builder's log to this file.")
def engine(
    bundle: Path,
    precision: "Precision | None",
    flavour: "Flavour | None",
    workspace_mib: int,
    level: int,
    max_batch: int,
    tf32: bool,
    hardware_compatible: bool,
    version_compatible: bool,
    capabilities: tuple[str, ...],
    builds: int,
    save: Path | None,
    install: Path | None,
    sha256: str | None,
    log: Path | None,
) -> int:
    """Build an engine from a bundle on this machine, store it in the cache, and verify it.

    TensorRT-RTX also builds without a GPU; verify such an engine where it will run.

    \b
    mde-bundle engine model.mde
    mde-bundle engine model.mde --save fast.engine                  # on one board
    mde-bundle engine model.mde --install fast.engine --sha256 HEX  # on its twins
    """
    from mde_runtime.bundle import read_bundle
    from mde_runtime.cache import take_ignored
    from mde_runtime.engines import store
    from mde_runtime.engines.flavours import first_here
    from mde_runtime.engines.key import key_for
    from mde_runtime.engines.known_faults import known_fault

    if (install is None) != (sha256 is None):
        raise UsageError("--install and --sha256 belong together: an engine is executable code; give both")
    opened = read_bundle(bundle)
    chosen = precision or ("fp16" if "fp16" in opened.precisions else "fp32")
    options = BuildOptions(
        workspace_mib=workspace_mib,
        optimization_level=level,
        batch=(1, 1, max_batch),
        tf32=tf32,
        hardware_compatible=hardware_compatible,
        version_compatible=version_compatible,
        compute_capabilities=capabilities,
    )
    key = key_for(opened.graph_sha256(chosen), flavour or first_here(), options)
    if install is not None and sha256 is not None:
        store.install(key, install, sha256)
        verified = _verified(opened, key, chosen, save)
    else:
        verified = _built_and_verified(opened, key, chosen, builds, log, save)
        if verified is not None and verified.parity.breaches(verified.limits):
            key, verified = _cured(opened, key, verified, log, save)
    _, record = store.find(key)
    for line in take_ignored():
        say(line)
    if save is not None:
        click.echo(save)
    click.echo(f"{key.in_words}, {chosen}, {record.size_bytes / 1e6:.1f} MB, built in {record.build_s:.1f} s")
    click.echo(f"sha256 {record.engine_sha256}")
    if verified is None:
        return 0
    parity = verified.parity
    click.echo(
        f"worst RMSE {parity.rmse_worst_m * 100:.3f} cm, p99.9 {parity.p999_m * 100:.3f} cm, {verified.in_words}"
    )
    for breach in verified.breaches:
        say(f"failed verification: {breach}")
    fault = known_fault(key.flavour, key.version)
    if fault and not verified.passed:
        say(f"{key.flavour} {key.version} {fault.fault}; {fault.remedy}")
    if not verified.passed and chosen != "fp32":
        say(
            f"to keep nodes in FP32 that make it right, export on this machine: mde-export MODEL --{chosen} --engine "
            f"{key.flavour}"
        )
    if not verified.passed:
        say(f"to see which backends run this bundle here: mde-bundle verify {bundle}")
    return 0 if verified.passed else VerdictError.exit_code


def _built_and_verified(
    bundle: "Bundle", key: "EngineKey", precision: "Precision", num_builds: int, log: Path | None, save: Path | None
) -> "Verification | None":
    """Build once, or afresh as many times as asked, verify each, and keep the record of the worst."""
    from mde_runtime import verify
    from mde_runtime.engines import store
    from mde_runtime.progress import progress

    verified = []
    for number in range(num_builds):
        with progress(f"Building {precision} ({number + 1} of {num_builds})") as advance:
            store.build(key, bundle.graph(precision), is_fresh=num_builds > 1, log_file=log, advance=advance)
        verified.append(_verified(bundle, key, precision, save))
    found = [verification for verification in verified if verification is not None]
    return verify.keep_worst(bundle, found) if found else None


def _cured(
    bundle: "Bundle", key: "EngineKey", found: "Verification", log: Path | None, save: Path | None
) -> "tuple[EngineKey, Verification]":
    """The first other build of the same graph whose depth is right; else the one that was asked for, as it was.

    Each says what was tried and what verification said.
    """
    from dataclasses import replace

    from mde_runtime import files
    from mde_runtime.engines import store
    from mde_runtime.engines.cures import rungs

    say(f"the engine gives wrong depth: {'; '.join(found.breaches)}")
    for rung in rungs(key.options):
        tried = replace(key, options=rung.options)
        try:
            again = _built_and_verified(bundle, tried, found.precision, 1, log, save)
        except MachineError as error:
            say(f"tried {rung.name}: {error}")
            continue
        if again is not None and again.passed:
            say(f"tried {rung.name}: right, and kept")
            return tried, again
        say(f"tried {rung.name}: {'; '.join(again.breaches) if again else 'it does not run here'}")
    store.build(key, bundle.graph(found.precision))  # already built: this makes it the one in use
    if save is not None:
        files.write_bytes(save, store.find(key)[0])
    return key, found


def _verified(bundle: "Bundle", key: "EngineKey", precision: "Precision", save: Path | None) -> "Verification | None":
    """Save the engine, then verify it. None, and a line that says so, where this machine has no GPU that it is for."""
    from mde_runtime import files
    from mde_runtime.backends import open_session
    from mde_runtime.engines import store
    from mde_runtime.verify import verify

    if save is not None:  # whether it runs here says nothing of the machine that it is saved for
        content, _ = store.find(key)
        files.write_bytes(save, content)
    try:
        session = open_session(key.flavour, bundle.graph(precision))
    except MachineError as error:
        if _has_its_gpu(key):
            raise
        say(f"not verified here: {error}")
        say(f"verify it where it runs: mde-bundle verify {bundle.path}")
        return None
    try:
        return verify(bundle, key.flavour, precision, session)
    finally:
        session.close()


def _has_its_gpu(key: "EngineKey") -> bool:
    """Whether this machine has a GPU that the engine is for: only there is it a failure that it does not run."""
    from mde_runtime.cuda import open_cuda

    try:
        capability = open_cuda().gpu().compute_capability
    except MachineError:
        return False
    return capability in (key.options.compute_capabilities or (capability,))
