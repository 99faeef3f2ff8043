"""The plan of a run: its candidates, its frames with their truth, and how long is measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mde_bench.accuracy.frames import Excerpt, Scene, open_scene, protocol_for
from mde_bench.accuracy.judge import accuracy_of
from mde_bench.machine.graph_work import Work, work_of
from mde_bench.machine.peaks import Peaks, peaks_here
from mde_bench.result.result import RunInputs
from mde_bench.timing.candidates import Candidate, bundle_candidates, named, torch_candidate
from mde_bench.timing.effort import NORMAL, Effort
from mde_bench.timing.modes import NO_MODES, ModeSettings
from mde_bench.timing.worker import CALL_TIMEOUT_S
from mde_runtime import files
from mde_runtime.bundle import graph_name, read_bundle
from mde_runtime.errors import UsageError
from mde_runtime.machine import this_machine
from mde_runtime.precision import Precision
from mde_runtime.protocols import open_protocol

FALLBACK_REFERENCE = "onnxruntime-cpu"


@dataclass(frozen=True, eq=False)
class Plan:
    """The input of `mde_bench.run.carry_out`. The first candidate is the reference that parity is held against."""

    candidates: tuple[Candidate, ...]
    scene: Scene
    judged: RunInputs
    work: dict[Precision, Work]  # of each graph; empty where it cannot be counted
    protocol: str  # of accuracy
    effort: Effort
    num_threads: int
    peaks: Mapping[str, Peaks | str]  # of what candidates compute on, cpu and cuda, or why they are not known
    is_ranking: bool  # of all candidates on the default threads, so `auto` may use its order
    only: tuple[str, ...] = ()  # patterns of names, empty: all; the reference is there in any case, for parity
    modes: ModeSettings = NO_MODES  # beside the single stream
    call_timeout_s: float = CALL_TIMEOUT_S


def plan_run(
    bundle_path: Path,
    checkpoint: Path | None,
    excerpt: Excerpt,
    protocol: str,
    num_threads: int | None = None,
    effort: Effort = NORMAL,
    only: tuple[str, ...] = (),
    modes: ModeSettings = NO_MODES,
) -> Plan:
    """Every backend of the table with every precision of a bundle, and before them the PyTorch model.

    num_threads None: as many as this process has cores. only: patterns of candidates' names; the reference stays.
    Raises UsageError for a protocol or a candidate that is not known, and BadInputError for truth that the protocol
    refuses. Measures the processor's peak, last of all, so that what is refused is refused at once.
    """
    is_ranking = num_threads is None and not only
    num_threads = num_threads or this_machine().num_cores
    bundle = read_bundle(bundle_path)
    if bundle.contract.from_network.canonical_focal_px is not None:
        raise UsageError(
            f"{bundle_path}: its depth is metric for one focal length, which DATA does not state; set it first: "
            f"mde-export {bundle_path.name} --focal-px PX -o NAME.mde"
        )
    protocol = protocol_for(excerpt.data, protocol)
    open_protocol(protocol)
    scene = open_scene(excerpt, bundle.contract.source)
    span_m = bundle.contract.from_network.span_m
    accuracy_of(np.zeros_like(scene.truth_m), scene.truth_m, protocol, span_m)  # refuses now, not after all predictions
    candidates = bundle_candidates(bundle, num_threads)
    candidates.sort(key=lambda candidate: (candidate.backend, candidate.precision) != (FALLBACK_REFERENCE, "fp32"))
    reference = f"{FALLBACK_REFERENCE} fp32 (no checkpoint given, so not the PyTorch model itself)"
    if checkpoint is not None:
        candidates.insert(0, torch_candidate(checkpoint, num_threads))
        reference = f"the PyTorch model of {checkpoint.name}, FP32"
    chosen = named(candidates, only)
    candidates = [candidates[0], *(candidate for candidate in chosen if candidate is not candidates[0])]
    judged = RunInputs(
        bundle=bundle_path.name,
        bundle_sha256=files.sha256_of_file(bundle_path),
        fp32_sha256=bundle.manifest.members[graph_name("fp32")].sha256,
        checkpoint_sha256=files.sha256_of_file(checkpoint) if checkpoint else None,
        data_sha256=scene.sha256,
        split=scene.split,
        num_frames=len(scene.frames),
        num_frames_in_split=scene.num_frames_in_split,
        reference=reference,
        contract=bundle.contract,
        certificates={precision: bundle.certificate(precision) for precision in bundle.precisions},
        provenance=bundle.manifest.provenance,
    )
    work = {precision: counted for precision in bundle.precisions if (counted := work_of(bundle.graph(precision)))}
    return Plan(
        candidates=tuple(candidates),
        scene=scene,
        judged=judged,
        work=work,
        protocol=protocol,
        effort=effort,
        num_threads=num_threads,
        peaks=peaks_here(num_threads, is_measured=effort.measures_peak),
        is_ranking=is_ranking,
        only=only,
        modes=modes,
    )
