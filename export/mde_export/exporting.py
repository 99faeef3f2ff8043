"""From a model to a bundle with certificates. Everything is made in memory: a failed export leaves nothing behind."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import onnx_ir as ir

import mde_runtime
from mde_export.camera.fit import Fit
from mde_export.camera.focal_length import for_camera
from mde_export.camera.points import calibrated
from mde_export.core import core_contents
from mde_export.engine.build import BuiltEngine, build_for
from mde_export.explain import GraphFigures, figures_of
from mde_export.failure import keep_rejected, verdict
from mde_export.frames import golden_of, pictures_of
from mde_export.graph.canonical import from_bytes, stripped, to_bytes
from mde_export.graph.graft import graft, ungraft
from mde_export.judge.certify import Trial, attempt, certificate_of, check_batch
from mde_export.judge.evidence import Evidence, evidence_of
from mde_export.outputs import check_written, core_files, emitted
from mde_export.precision.int8 import signed_activations
from mde_export.precision.lower import lowered_to_fp16, lowered_to_int8, with_half_sums
from mde_export.precision.targets import check_target
from mde_export.request.request import Request
from mde_export.sources import Source, open_source, precisions_of
from mde_export.steps import Step
from mde_runtime import files, records
from mde_runtime.bundle import Provenance, write_bundle
from mde_runtime.certificate import Certificate
from mde_runtime.contract import Contract
from mde_runtime.parity import AIM
from mde_runtime.precision import Precision

NUM_NAMED = 3  # activations that a warning names
TOOLS = ("onnx", "onnx-ir", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    bundle: Path
    certificates: tuple[Certificate, ...]
    engine: BuiltEngine | None
    is_engine_wrong: bool  # one was built, and neither it nor any of its cures gives right depth here
    emitted: tuple[Path, ...]
    fit: Fit | None  # of scale and shift to measured distances
    figures: tuple[GraphFigures, ...]  # of the network and of every graph
    # Of what was assumed, of what passed here and may fail verification elsewhere, and of each engine that was tried.
    warnings: tuple[str, ...]


def export(request: Request, step: Step) -> Exported:
    """Export a model. Raises VerdictError where a certificate fails, MachineError where a named engine cannot be.

    An engine with wrong depth is left out, and costs nothing else: the graphs are certified without it.
    """
    with step("read the model"):
        source = open_source(request)
    check_written(request, precisions_of(source, request))
    source, fit = calibrated(source, request, step)
    source = for_camera(source, request)
    evidence = _evidence(source, request, step)
    model, trials = _trials(source, evidence, request, step)
    built = build_for(request.engine, trials, model, evidence, request.batch or (1, 1, 1), step)
    trials = list(built.trials)
    for trial in trials:
        _pass(trial, model, evidence, request, source)
    _check_batch(trials, evidence, request, step)
    trials = [with_half_sums(trial, evidence, step) for trial in trials]
    certificates = tuple(certificate_of(trial, evidence, source.derived_from) for trial in trials)
    golden = golden_of(source, trials, evidence, request, step)
    plain = _plain(request, source.contract, trials, built.engine)
    network, core = ungraft(stripped(from_bytes(trials[0].graph))), core_files(request) or ()
    with step("write the bundle"), contextlib.ExitStack() as drafts:
        write_bundle(
            drafts.enter_context(files.replacing(request.bundle)),  # the first of all, so the last to appear
            source.contract,
            _provenance(source),
            {trial.precision: trial.graph for trial in trials},
            {certificate.precision: certificate for certificate in certificates},
            golden,
        )
        for path, content in plain.items():
            drafts.enter_context(files.replacing(path)).write_bytes(content)
        for path, write in zip(core, core_contents(network, evidence), strict=bool(core)):
            write(drafts.enter_context(files.replacing(path)))
    figures = figures_of(network, trials)
    warnings = (*source.notes, *_warnings(trials, certificates, request.target), *built.tried)
    emitted_files = (*plain, *core)
    return Exported(request.bundle, certificates, built.engine, built.is_wrong, emitted_files, fit, figures, warnings)


def _evidence(source: Source, request: Request, step: Step) -> Evidence:
    pictures = pictures_of(source, request, step)
    depth_of = source.depth_by(source.contract)
    with step(f"reference: {source.reference}", len(pictures.frames)) as advance:
        depth_m, num_nonfinite = depth_of(pictures.frames, advance)
    return evidence_of(pictures, depth_m, num_nonfinite, source.reference, source.contract)


def _trials(source: Source, evidence: Evidence, request: Request, step: Step) -> tuple[ir.Model, list[Trial]]:
    """The FP32 graph, and a trial for every precision that was asked for, FP32 first.

    Raises VerdictError for the first that fails.
    """
    with step("network to ONNX, stages around it"):
        model = stripped(graft(source.network(), source.contract))
    if request.target is not None:
        check_target(model, request.target)
    with step("FP32: certificate", len(evidence.depth_m)) as advance:
        trials = [attempt("fp32", to_bytes(model), evidence, advance=advance)]
    _pass(trials[-1], model, evidence, request, source)
    lower: dict[Precision, Callable[[], Trial]] = {
        "fp16": lambda: lowered_to_fp16(model, evidence, step, request.target, request.accumulation),
        "int8": lambda: lowered_to_int8(model, evidence, step),
    }
    for precision, lowered in lower.items():
        if precision in precisions_of(source, request):
            trials.append(lowered())
            _pass(trials[-1], model, evidence, request, source)
    return model, trials


def _check_batch(trials: list[Trial], evidence: Evidence, request: Request, step: Step) -> None:
    if request.most_at_once > 1:
        with step(f"{request.most_at_once} frames at once, each as on its own"):
            for trial in trials:
                check_batch(trial, evidence, request.most_at_once)


def _pass(trial: Trial, model: ir.Model, evidence: Evidence, request: Request, source: Source) -> None:
    """Raises VerdictError where the trial failed, after keeping what was asked to be kept of it."""
    if not trial.breaches:
        return
    if request.keep_rejected is not None:
        keep_rejected(request.keep_rejected, request.bundle.stem, trial, model, evidence)
    raise verdict(trial, model, evidence, source.first_difference)


def _warnings(trials: list[Trial], certificates: tuple[Certificate, ...], target: str | None) -> Iterator[str]:
    for certificate in certificates:
        if certificate.beyond_aim:
            yield (
                f"{certificate.precision} passes, with less than {1 - AIM:.0%} to spare: {certificate.beyond_aim[0]}. "
                "Nothing found leaves more; verification may fail on another machine"
            )
    for trial in trials:
        signed = signed_activations(trial.graph) if trial.precision == "int8" and target in (None, "cpu") else []
        if signed:
            named = ", ".join(signed[:NUM_NAMED]) + (
                f" and {len(signed) - NUM_NAMED} more" if signed[NUM_NAMED:] else ""
            )
            yield (
                f"int8: OpenVINO miscomputes activations that can be negative, here those of {named}. Verification "
                "there refuses the graph if depth is off; ONNX Runtime computes it correctly"
            )


def _provenance(source: Source) -> Provenance:
    tools = {"mde-toolchain": mde_runtime.__version__, **{name: version(name) for name in TOOLS}, **source.tools}
    return Provenance(
        origin=source.origin,
        model=source.model,
        source_sha256=source.sha256,
        data_sha256=source.data_sha256,
        recipe=source.recipe,
        tools=tools,
        publication=source.publication,
        rendered=source.rendered,
    )


def _plain(request: Request, contract: Contract, trials: list[Trial], engine: BuiltEngine | None) -> dict[Path, bytes]:
    """The plain files that other tools open; the engine beside the bundle where no folder was named."""
    contents = [*(trial.graph for trial in trials), records.dumps(contract).encode()]
    plain = dict(zip(emitted(request, [trial.precision for trial in trials]), contents, strict=False))
    if engine is not None:
        folder = request.emit or request.bundle.parent
        plain[folder / f"{request.bundle.stem}.{engine.precision}{engine.suffix}"] = engine.content
    return plain
