"""Verification on the device: the golden frames through a backend, judged by the limits of `mde_runtime.parity`."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mde_runtime import parity, records
from mde_runtime.backends import (
    LISTED,
    Arrays,
    BuiltSession,
    CachedSession,
    Session,
    frames_a_run,
    open_session,
)
from mde_runtime.bundle import Bundle, Golden
from mde_runtime.cache import get_record, put_record
from mde_runtime.contract import Contract
from mde_runtime.engines.inspector import REAL_SHARE
from mde_runtime.errors import BadInputError, MachineError
from mde_runtime.files import sha256_of
from mde_runtime.machine import this_machine
from mde_runtime.parity import Limits, Parity
from mde_runtime.precision import Precision
from mde_runtime.revision import REVISION

KIND = "verifications"


@dataclass(frozen=True)
class Verification:
    """What a backend on this device made of the golden frames. `breaches` is empty where it passed."""

    backend: str
    precision: Precision
    graph_sha256: str
    engine_sha256: str | None  # of the engine that ran; None: the backend compiles the graph itself
    is_from_cache: bool  # what ran was compiled before and loaded: a compiler's cache has given another model back
    executor: str
    arithmetic: str  # what a graph of this precision is really computed in
    device: str
    instruction_set: tuple[str, ...]
    limits: Limits
    parity: Parity
    breaches: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the depth is the reference's, to within the limits."""
        return not self.breaches

    @property
    def in_words(self) -> str:
        """The precision as it really is: `fp16`, or `fp16 graph, fp32 arithmetic`."""
        return described(self.precision, self.arithmetic)


@dataclass(frozen=True)
class Verifications:
    """The entry of the cache for one backend on one bundle. One entry: where it cannot be read, both are made again."""

    compiled: Verification | None  # by this process, from the graph
    loaded: Verification | None  # from the backend's own cache, which was compiled before


@dataclass(frozen=True)
class NotHere:
    """A backend or a graph that could not be opened on this machine, and why."""

    backend: str
    precision: Precision
    reason: str


def described(precision: Precision, arithmetic: str) -> str:
    """A precision and what it is computed in, in words."""
    return precision if precision == arithmetic else f"{precision} graph, {arithmetic} arithmetic"


def verify(bundle: Bundle, backend: str, precision: Precision, session: Session) -> Verification:
    """Run the golden frames through an open session, judge its depth, and keep the record in the cache."""
    kept = [name for island in bundle.certificate(precision).kept_fp32 for name in island.nodes]
    measured, breaches = judge(session, precision, bundle.golden(), bundle.contract, kept, str(bundle.path))
    verification = Verification(
        backend=backend,
        precision=precision,
        graph_sha256=bundle.graph_sha256(precision),
        engine_sha256=_engine_of(session),
        is_from_cache=_is_from_cache(session),
        executor=session.executor,
        arithmetic=session.arithmetic[precision],
        device=session.device,
        instruction_set=this_machine().instruction_set,
        limits=Limits.of(precision, bundle.contract.from_network),
        parity=measured,
        breaches=breaches,
    )
    keep(bundle, verification)
    return verification


def judge(
    session: Session, precision: Precision, golden: Golden, contract: Contract, kept: Collection[str], origin: str
) -> tuple[Parity, tuple[str, ...]]:
    """How far a session's depth of the golden frames is off, and the limits that it misses.

    kept: the nodes that its graph keeps in FP32. origin: what a message about the graph names.
    """
    limits = Limits.of(precision, contract.from_network)
    sizes = {1, frames_a_run(session)}  # a batch may be computed otherwise than one frame: the worse counts
    found = [_measured(session, precision, golden, contract, size, origin) for size in sorted(sizes)]
    measured = max(found, key=lambda one: (len(one.breaches(limits)), one.rmse_worst_m))
    return measured, (*measured.breaches(limits), *_not_real(session, precision, kept))


def _measured(
    session: Session, precision: Precision, golden: Golden, contract: Contract, size: int, origin: str
) -> Parity:
    """How far a session's depth of the golden frames is off, so many of them a run.

    Every run is full, since each place of a batch may go wrong by itself: golden frames come again until it is, and
    the worst answer to each counts.
    """
    num_golden, depth_m = len(golden.frames), np.empty_like(golden.depth_m)
    worst, num_nonfinite = np.full(num_golden, -np.inf), 0
    for start in range(0, num_golden, size):
        picked = np.arange(start, start + size) % num_golden
        answer = session.run({"frame": golden.frames[picked]})
        expected = f"depth_m float32 {(size, *depth_m.shape[1:])}, num_nonfinite int32 {(size,)}"
        if (found := _described(answer)) != expected:
            raise BadInputError(
                f"{origin}: the {precision} graph gives {found}, not {expected}; export the model again"
            )
        num_nonfinite += int(answer["num_nonfinite"].sum())
        for index, frame_m in zip(picked, answer["depth_m"], strict=True):
            difference = frame_m.astype(np.float64) - golden.depth_m[index]
            error = np.nan_to_num(np.square(difference).sum(), nan=np.inf)
            if error >= worst[index]:
                depth_m[index], worst[index] = frame_m, error
    is_number = np.isfinite(depth_m)
    depth_m[~is_number] = 0  # so that every figure is a number and can be kept; what is none breaches by its count
    num_nonfinite = max(num_nonfinite, int(np.count_nonzero(~is_number)))
    return parity.measure(depth_m, golden.depth_m, num_nonfinite, contract)


def keep(bundle: Bundle, verification: Verification) -> None:
    """Keep a verification in the cache, in place of an older one of the same kind."""
    made = verification
    key = _key(bundle, made.precision, made.engine_sha256, made.executor, made.device)
    known = _known(key)
    put_record(KIND, key, replace(known, loaded=made) if made.is_from_cache else replace(known, compiled=made))


def keep_worst(bundle: Bundle, found: Sequence[Verification]) -> Verification:
    """Keep the worst figures for the engine that was built last: the next build may come out like any of them."""
    worst = max(found, key=lambda verification: (len(verification.breaches), verification.parity.rmse_worst_m))
    kept = replace(found[-1], parity=worst.parity, breaches=worst.breaches)
    keep(bundle, kept)
    return kept


def recorded(bundle: Bundle, precision: Precision, session: Session) -> Verification | None:
    """The verification that this machine holds of this very bundle on a session like this one; None: none."""
    known = _known(_key(bundle, precision, _engine_of(session), session.executor, session.device))
    return known.loaded if _is_from_cache(session) else known.compiled


def _known(key: dict[str, str]) -> Verifications:
    return get_record(Verifications, KIND, key) or Verifications(compiled=None, loaded=None)


def verify_everywhere(bundle: Bundle, advance: Callable[[], None]) -> list[Verification | NotHere]:
    """Verify every backend of the table with every precision of the bundle. A failing one costs its own row.

    A backend that keeps what it compiles runs as compiled, then as loaded from its cache.
    """
    rows: list[Verification | NotHere] = []
    bundle.golden()  # what is wrong with it is no backend's fault
    for backend, precision in pairs(bundle):
        try:
            rows.append(_twice_where_cached(bundle, backend, precision))
        except (MachineError, BadInputError) as error:
            rows.append(NotHere(backend, precision, str(error)))
        advance()
    return rows


def _twice_where_cached(bundle: Bundle, backend: str, precision: Precision) -> Verification:
    """The verification of a backend, as it is loaded from its cache where it keeps what it compiles.

    The first one where that fails, or where nothing is kept.
    """
    first, keeps_models = _opened_and_verified(bundle, backend, precision)
    if first.is_from_cache or not keeps_models or not first.passed:
        return first
    return _opened_and_verified(bundle, backend, precision)[0]


def _opened_and_verified(bundle: Bundle, backend: str, precision: Precision) -> tuple[Verification, bool]:
    """The verification of a session of its own, and whether its backend keeps what it compiles."""
    session = open_session(backend, bundle.graph(precision))
    try:
        return verify(bundle, backend, precision, session), isinstance(session, CachedSession)
    finally:
        session.close()


def pairs(bundle: Bundle) -> list[tuple[str, Precision]]:
    """Every backend that runs graphs with every precision of the bundle."""
    return [(backend, precision) for backend in LISTED for precision in bundle.precisions]


def without_backend(rows: list[Verification | NotHere]) -> list[Precision]:
    """The precisions that no backend of this machine was verified with."""
    verified = {row.precision for row in rows if isinstance(row, Verification) and row.passed}
    return [precision for precision in dict.fromkeys(row.precision for row in rows) if precision not in verified]


def _is_from_cache(session: Session) -> bool:
    return isinstance(session, CachedSession) and session.is_from_cache


def _engine_of(session: Session) -> str | None:
    return session.engine_sha256 if isinstance(session, BuiltSession) else None


def _not_real(session: Session, precision: Precision, kept: Collection[str]) -> list[str]:
    """What is wrong where an FP16 engine does not compute in half; a CPU's graphs are named by their arithmetic."""
    if precision != "fp16" or not isinstance(session, BuiltSession):
        return []
    share = session.share_in("fp16", kept)
    if share is None or share >= REAL_SHARE:  # None: the engine does not tell, and is called `unstated`
        return []
    return [f"only {share:.0%} of the multiply-adds outside the nodes kept in FP32 are done in half"]


def _key(bundle: Bundle, precision: Precision, engine_sha256: str | None, executor: str, device: str) -> dict[str, str]:
    """All that a verdict depends on: another bundle may hold the same graph, and must not decide for this one."""
    return {
        "graph": bundle.graph_sha256(precision),
        "certificate": bundle.certificate_sha256(precision),  # names the nodes that may stay FP32
        "golden frames": bundle.golden_sha256,
        "contract": sha256_of(records.dumps(bundle.contract).encode()),
        "limits": sha256_of(records.dumps(Limits.of(precision, bundle.contract.from_network)).encode()),
        "engine": engine_sha256 or "",
        "executor": executor,
        "device": device,
        "instruction set": " ".join(this_machine().instruction_set),
        "revision": str(REVISION),
    }


def _described(answer: Arrays) -> str:
    return ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in sorted(answer.items()))
