"""What a run is to measure, and on what."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mde_bench.accuracy.frames import Excerpt, Scene, open_scene
from mde_bench.accuracy.judge import accuracy_of
from mde_bench.machine.graph_work import Work, work_of
from mde_bench.machine.peaks import Peaks, peaks_here
from mde_bench.result.result import Judged
from mde_bench.timing.candidates import Candidate, bundle_candidate, bundle_pairs, torch_candidate
from mde_bench.timing.interleave import Effort
from mde_bench.timing.modes import Asked
from mde_bench.timing.worker import CALL_TIMEOUT_S
from mde_runtime import files
from mde_runtime.bundle import graph_name, read_bundle
from mde_runtime.certificate import Precision
from mde_runtime.errors import UsageError
from mde_runtime.machine import this_machine
from mde_runtime.protocols import open_protocol

FALLBACK_REFERENCE = "onnxruntime-cpu"


@dataclass(frozen=True, eq=False)
class Plan:
    """What `mde_bench.run.carry_out` does. The first candidate is the reference that parity is held against."""

    candidates: tuple[Candidate, ...]
    scene: Scene
    judged: Judged
    work: dict[Precision, Work]  # of each graph; empty where it cannot be counted
    protocol: str  # of accuracy
    effort: Effort
    num_threads: int
    peaks: Mapping[str, Peaks]  # of what candidates compute on: cpu, cuda; without those that are not known
    asked: Asked = field(default_factory=Asked)  # modes beside the single stream
    call_timeout_s: float = CALL_TIMEOUT_S

    def asking(self, asked: Asked) -> "Plan":
        """The plan for what was asked for: without the candidates that it does not concern, but for the reference."""
        reference, *others = self.candidates
        chosen = [candidate for candidate in others if asked.concerns(candidate.name)]
        if not chosen and not asked.concerns(reference.name):
            known = ", ".join(candidate.name for candidate in self.candidates)
            raise UsageError(f"no candidate is named {' or '.join(asked.only)}; there are {known}")
        return replace(self, candidates=(reference, *chosen), asked=asked)


def plan_run(
    bundle_path: Path,
    checkpoint: Path | None,
    excerpt: Excerpt,
    protocol: str,
    num_threads: int | None,
    effort: Effort,
) -> Plan:
    """Every backend of the table with every precision of a bundle, and before them the PyTorch model.

    num_threads None: as many as this process has cores. Raises UsageError for a protocol that is not known, and
    BadInputError for truth that it refuses.
    """
    num_threads = num_threads or this_machine().num_cores
    bundle = read_bundle(bundle_path)
    open_protocol(protocol)
    scene = open_scene(excerpt, bundle.contract.source)
    accuracy_of(np.zeros_like(scene.truth_m), scene.truth_m, protocol)  # refuses now, not after all was predicted
    pairs = sorted(bundle_pairs(bundle), key=lambda pair: pair != (FALLBACK_REFERENCE, "fp32"))
    candidates = [bundle_candidate(bundle_path, backend, precision, num_threads) for backend, precision in pairs]
    reference = f"{FALLBACK_REFERENCE} fp32 (no checkpoint was given, so not the PyTorch model itself)"
    if checkpoint is not None:
        candidates.insert(0, torch_candidate(checkpoint, num_threads))
        reference = f"the PyTorch model of {checkpoint.name}, FP32"
    judged = Judged(
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
    peaks = peaks_here(num_threads, is_measured=False)
    return Plan(tuple(candidates), scene, judged, work, protocol, effort, num_threads, peaks)
