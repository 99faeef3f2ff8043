"""The aims of the estimator in FP16 at batch 1, judged from the figures of one network."""

from collections.abc import Iterator, Mapping

from lab.gpu_check.lines import Line, Verdict
from lab.gpu_check.speed.ways import CAPTURED, COMPILED, EAGER, ESTIMATOR, Aims

PART = "aims"
Figures = Mapping[str, float]


def judged(aims: Aims, network: str, figures_of: Mapping[str, Figures]) -> Iterator[Line]:
    """A line for every aim. figures_of: of each way that was measured, by its name."""
    verdict: Verdict
    ours, eager, compiled, captured = (figures_of.get(name) for name in (ESTIMATOR, EAGER, COMPILED, CAPTURED))
    if ours is None:
        yield Line(PART, network, "absent", {}, f"{ESTIMATOR} was not measured")
        return
    for aim, name, other in ((aims.times_eager, EAGER, eager), (aims.times_compiled, COMPILED, compiled)):
        if other is not None:
            times = other["p50_ms"] / ours["p50_ms"]
            figures = {"times": times, "aim": aim, "times_by_call": other["call_p50_ms"] / ours["p50_ms"]}
            verdict = "passed" if times >= aim else "failed"
            yield Line(PART, f"{network}: as fast as {name}", verdict, figures, "end to end; by the other's call alone")
    if captured is not None:
        over_us = 1e3 * (ours["p50_ms"] - captured["call_p50_ms"])
        copies_us = 1e3 * ours.get("copies_ms", 0.0)
        figures = {"us": over_us - copies_us, "aim_us": 1e6 * aims.overhead_s, "copies_us": copies_us}
        verdict = "passed" if over_us - copies_us <= 1e6 * aims.overhead_s else "failed"
        yield Line(
            PART, f"{network}: over the captured graph", verdict, figures, "p50 less its copies and less the graph's"
        )
