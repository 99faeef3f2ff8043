"""The choice of backend and precision for a bundle on this machine: the fastest verified one, and the reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from mde_runtime import installation, notebook, verify
from mde_runtime.backends import BACKENDS, LISTED, Graph, Session, has_library, open_session
from mde_runtime.bundle import Bundle
from mde_runtime.cache import get_ranking, take_ignored
from mde_runtime.errors import BadInputError, MachineError, UsageError, VerdictError, one_line
from mde_runtime.nearest import did_you_mean
from mde_runtime.precision import AUTO, PRECISIONS, Precision
from mde_runtime.verify import Verification

# INT8 costs accuracy, so it is taken only when asked for. A CPU runs a half graph in FP32 and pays for the casts.
AUTO_PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "cuda": ("fp16", "fp32"),
    "cpu": ("fp32", "fp16"),
    "none": ("fp32",),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Choice:
    """What runs, and why that."""

    backend: str
    precision: Precision
    why: str
    verification: Verification
    is_newly_verified: bool  # this machine held no record, so the golden frames ran when the bundle was opened
    failed: tuple[str, ...]  # what would have come first, but failed verification
    not_here: dict[str, str]  # the backends that would have come first, and why this machine cannot open them
    ignored: tuple[str, ...] = ()  # entries of the cache that counted as none, and why

    @classmethod
    def asked_for(
        cls, backend: str, precision: Precision, verification: Verification, *, is_newly_verified: bool
    ) -> "Choice":
        """A backend and a precision that were named, with nothing before them."""
        return cls(
            backend=backend,
            precision=precision,
            why="asked for",
            verification=verification,
            is_newly_verified=is_newly_verified,
            failed=(),
            not_here={},
        )

    @property
    def short(self) -> str:
        """For a person, in one line: what runs and why, how far off it was, and what failed."""
        parity = self.verification.parity
        failed = ", ".join(reason.partition(":")[0] for reason in self.failed)
        return one_line(
            f"{self.backend}, {self.verification.in_words} ({self.why}): at most "
            f"{parity.rmse_worst_m * 100:.3f} cm off on {parity.num_frames} golden frames"
            f"{f'; {failed} failed verification' if failed else ''}"
        )

    def __repr__(self) -> str:
        return f"<Choice {self.short}>"

    def _repr_html_(self) -> str:
        return notebook.table("Choice", self.rows)

    @property
    def rows(self) -> dict[str, str]:
        """What runs and what does not, name by name, for a table."""
        return {
            "runs": self.short,
            "because": self.why,
            "executor": self.verification.executor,
            "failed": "\n".join(self.failed),
            "not here": ", ".join(self.not_here),
        }

    def __str__(self) -> str:
        """For a person: what runs, and what does not."""
        verified = "verified just now" if self.is_newly_verified else "verified"
        parity = self.verification.parity
        lines = [
            f"{self.backend}, {self.verification.in_words} ({self.why}), {verified} with {parity.num_frames} golden "
            f"frames on {self.verification.executor}: worst RMSE {parity.rmse_worst_m * 100:.3f} cm",
            *(f"not {reason}" for reason in self.failed),
        ]
        if self.not_here:
            lines.append(f"not here: {', '.join(self.not_here)} (mde-doctor says why)")
        lines.extend(self.ignored)
        return "\n".join(map(one_line, lines))


def choose(bundle: Bundle, backend: str, precision: str, num_threads: int | None) -> tuple[Session, Choice]:
    """Open the first verified candidate; verify where this machine holds no record. Never runs what failed.

    Raises UsageError for an unknown name, VerdictError where all that runs here fails verification, MachineError
    where nothing runs here.
    """
    failed: list[str] = []
    not_here: dict[str, str] = {}
    for name, candidate, why in _candidates(bundle, backend, precision):
        graph = Graph(bundle.graph_sha256(candidate), partial(bundle.graph, candidate))
        try:
            session = open_session(name, graph, num_threads=num_threads)
        except (MachineError, BadInputError) as error:
            graph.raise_if_unreadable()  # an altered bundle is refused whole, not stepped around
            not_here.setdefault(name, str(error))
            continue
        _check(graph, session)
        try:
            verification, is_new = _verify_once(bundle, name, candidate, session)
        except (MachineError, BadInputError) as error:
            bundle.golden()  # damaged golden frames are refused whole, too
            not_here.setdefault(name, str(error))
        except VerdictError as error:
            failed.append(f"{name} {candidate}: {error}")
        else:
            return session, Choice(
                backend=name,
                precision=candidate,
                why=why,
                verification=verification,
                is_newly_verified=is_new,
                failed=tuple(failed),
                not_here=not_here,
                ignored=take_ignored(),
            )
    if not failed and backend == AUTO and not has_library():
        raise MachineError(f"no backend: {installation.adding('cpu')}; {bundle.path} needs one to run")
    reasons = "; ".join([*failed, *(f"{name}: {reason}" for name, reason in not_here.items())])
    kind = VerdictError if failed else MachineError
    raise kind(f"{bundle.path}: nothing verified runs it on this machine: {reasons}; run mde-doctor")


def _check(graph: Graph, session: Session) -> None:
    """Raises, with the session closed, where the bundle's graph was altered: what it was compiled to may be kept."""
    try:
        graph.content()
    except BaseException:
        session.close()
        raise


def _verify_once(bundle: Bundle, backend: str, precision: Precision, session: Session) -> tuple[Verification, bool]:
    """The session's verification, and whether it was made now. Closes the session where it does not pass."""
    try:
        known = verify.recorded(bundle, precision, session)
        verification = known or verify.verify(bundle, backend, precision, session)
        if not verification.passed:
            raise VerdictError(
                f"failed verification on this machine ({'; '.join(verification.breaches)}); take another"
            )
    except BaseException:
        session.close()
        raise
    return verification, known is None


def _candidates(bundle: Bundle, backend: str, precision: str) -> Iterator[tuple[str, Precision, str]]:
    """Backend, precision and reason, the best first, each pair once: what was measured here, then the fixed order."""
    if backend not in (AUTO, *BACKENDS):
        raise UsageError(
            f"unknown backend {backend!r}{did_you_mean(backend, LISTED)}; choose from {AUTO}, {', '.join(LISTED)}"
        )
    if precision not in (AUTO, *PRECISIONS):
        near = did_you_mean(precision, PRECISIONS)
        raise UsageError(f"unknown precision {precision!r}{near}; choose from {AUTO}, {', '.join(PRECISIONS)}")
    in_order = list(_fixed_order(bundle, backend, precision))
    ranking = get_ranking(bundle.graph_sha256("fp32"))
    measured = {(row.backend, row.precision): row.p50_s for row in ranking.fastest_first} if ranking else {}
    for pair, p50_s in measured.items():
        if pair in in_order:
            yield *pair, f"{p50_s * 1e3:.2f} ms per frame in mde-bench"
    why = "the first verified here" if backend == AUTO else "asked for"
    for pair in in_order:
        if pair not in measured:
            yield *pair, why


def _fixed_order(bundle: Bundle, backend: str, precision: str) -> Iterator[tuple[str, Precision]]:
    for name, row in BACKENDS.items():
        if name == backend or (backend == AUTO and name in LISTED and row.goal == "latency"):
            for candidate in PRECISIONS if precision != AUTO else AUTO_PRECISIONS[row.device]:
                if candidate == precision or (precision == AUTO and candidate in bundle.precisions):
                    yield name, candidate
