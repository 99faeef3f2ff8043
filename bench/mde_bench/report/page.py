"""The report as one HTML page: the verdict first, then what it rests on."""

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path

from mde_bench import table, verdict
from mde_bench.frames import Scene
from mde_bench.report.latency_plot import latency_plot
from mde_bench.report.panels import panels
from mde_bench.report.pareto_plot import pareto_plot
from mde_bench.report.style import SCRIPT, STYLE
from mde_bench.result import Result, Row
from mde_bench.run import Outcome
from mde_runtime import files, records


def write_report(outcome: Outcome, scene: Scene, target: Path) -> None:
    """Write the page, whole or not at all."""
    files.write_text(target, page(outcome, scene))


def page(outcome: Outcome, scene: Scene) -> str:
    """The page. It holds all that it shows, so it can be mailed, kept, and opened anywhere."""
    result = outcome.result
    sections = (
        _verdict(result),
        _section("Speed", "speed", _speed(result)),
        _section("Parity and accuracy", "parity", _parity(result)),
        _section("Pictures", "pictures", _pictures(outcome, scene)),
        _section("What was measured, on what", "conditions", _conditions(result)),
        _section("Certificates and provenance", "provenance", _provenance(result)),
    )
    title = f"{result.judged.bundle}: bench"
    content = json.dumps(records.to_json(result), allow_nan=False).replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>'
        f'{escape(title)}</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head><body>{"".join(sections)}'
        f"<footer>{escape(result.tool)}, {escape(result.started)}, {result.seconds:.0f} s. "
        f"{_save('json', 'result', 'Save everything as JSON, raw samples too')}</footer>"
        f'<script type="application/json" id="result">{content}</script><script>{SCRIPT}</script></body></html>\n'
    )


def _verdict(result: Result) -> str:
    found = verdict.problems(result)
    listed = f"<ul>{''.join(f'<li>{escape(problem)}</li>' for problem in found)}</ul>" if found else ""
    return (
        f'<header class="verdict {"no" if found else "yes"}" id="verdict"><b class="word">'
        f"{'Does not hold' if found else 'Holds'}</b><h1>{escape(verdict.in_words(result))}</h1>"
        f'<p class="soft">{escape(result.judged.bundle)} ({escape(result.judged.provenance.model)}) on '
        f"{escape(result.conditions.machine.cpu)}, {result.conditions.num_threads} threads</p>{listed}</header>"
    )


def _speed(result: Result) -> str:
    measured = [(row, row.speed) for row in result.rows if row.speed]
    headings = (
        "candidate",
        "p50 ms",
        "interval",
        "p90",
        "p95",
        "p99",
        "max",
        "mean",
        "σ",
        "min",
        "backend p50",
        "host p50",
        "CPU p50",
        "preempted",
        "MiB",
        f"time over {result.rows[0].name if result.rows else ''}",
    )
    rows = []
    for row, speed in measured:
        times, mib = speed.end_to_end, speed.peak_memory_bytes / 2**20
        interval = f"{_ms(times.p50_interval_s.low)} to {_ms(times.p50_interval_s.high)}"
        ratio = speed.ratio
        share = (
            f"{ratio.value:.3f} <small>{ratio.interval.low:.3f} to {ratio.interval.high:.3f}</small>" if ratio else "1"
        )
        seconds = (times.p90_s, times.p95_s, times.p99_s, times.max_s, times.mean_s, times.std_s, times.min_s)
        rows.append(
            (
                escape(row.name),
                _ms(times.p50_s),
                interval,
                *map(_ms, seconds),
                _ms(speed.backend.p50_s),
                _ms(speed.host.p50_s),
                _ms(speed.cpu_s),
                f"{speed.preempted_share:.0%}",
                f"{mib:.0f}",
                share,
            )
        )
    if not measured:
        return "<p>No candidate was measured.</p>"
    num_samples = min(speed.end_to_end.num_samples for _, speed in measured)
    return (
        f'<p class="soft">Frame in, depth out, as a user calls it; at least {num_samples} calls a candidate, all '
        "candidates in turns. Intervals are 95 %, by bootstrap over the rounds. Backend: inside the backend's own "
        "call; host: the rest; CPU: processor time of all threads; preempted: calls that the system interrupted.</p>"
        f'<div class="plots"><figure>{latency_plot(measured)}<figcaption>Line: median; bar: its interval; dots: p90 '
        f"and p99. {_save('svg', 'latency', 'Save SVG')}</figcaption></figure>{_pareto(result)}</div>"
        f"{_table('speed-table', headings, rows)}"
    )


def _pareto(result: Result) -> str:
    points = [(row, row.speed, row.parity) for row in result.rows if row.speed and row.parity]
    if not points:
        return ""
    wanted = result.judged.contract.from_network
    drawn = pareto_plot(points, result.rows[0].speed, wanted.far_m - wanted.near_m)
    return (
        f"<figure>{drawn}<figcaption>Left is faster, low is more faithful; the line joins those that no other beats in "
        f"both. {_save('svg', 'pareto', 'Save SVG')}</figcaption></figure>"
    )


def _parity(result: Result) -> str:
    names = tuple(dict.fromkeys(name for row in result.rows if row.accuracy for name in row.accuracy.values))
    protocol = next((row.accuracy.protocol for row in result.rows if row.accuracy), "")
    headings = (
        "candidate",
        "RMSE mm",
        "worst frame mm",
        "p99.9 mm",
        "max mm",
        "bias mm",
        "SSIM, worst frame",
        "δ1",
        "NaN, Inf",
        *(f"{name} ({protocol})" for name in names),
    )
    rows = [(escape(row.name), *_parity_cells(row), *_accuracy_cells(row, names)) for row in result.rows]
    judged = result.judged
    return (
        f'<p class="soft">Parity is against {escape(judged.reference)}, over every pixel of {judged.num_frames} '
        f"frames. Accuracy is against ground truth under the protocol <b>{escape(protocol)}</b>, over the same frames; "
        f"figures of another protocol or of other frames do not compare.</p>{_table('parity-table', headings, rows)}"
    )


def _parity_cells(row: Row) -> tuple[str, ...]:
    if row.parity is None:
        return ("the reference",) + (table.DASH,) * 7 if not row.failure else (table.DASH,) * 8
    parity = row.parity
    metres = (parity.rmse_m, parity.rmse_worst_m, parity.p999_m, parity.max_abs_m, parity.bias_m)
    return (*map(_ms, metres), f"{parity.ssim_worst:.6f}", f"{parity.delta1:.5f}", str(parity.num_nonfinite))


def _accuracy_cells(row: Row, names: tuple[str, ...]) -> tuple[str, ...]:
    values = row.accuracy.values if row.accuracy else {}
    return tuple(f"{values[name]:.4f}" if name in values else table.DASH for name in names)


def _pictures(outcome: Outcome, scene: Scene) -> str:
    best = verdict.headline(outcome.result)
    if best is None:
        return "<p>No candidate gave depth that can be shown.</p>"
    wanted = outcome.result.judged.contract.from_network
    return (
        f'<p class="soft">Of {escape(best.name)}; truth is clipped to {wanted.near_m:g} to {wanted.far_m:g} m, the '
        "range that the model can say. Best, median and worst are by RMSE to the truth. Click a picture to save it.</p>"
        f"{panels(best, outcome.predictions[best.name].depth_m, scene, wanted)}"
    )


def _conditions(result: Result) -> str:
    under, judged = result.conditions, result.judged
    before, after = under.before, under.after
    facts = {
        "Frames": f"{judged.num_frames} of {judged.num_frames_in_split} of the split {judged.split!r}, evenly spaced "
        f"(data {judged.data_sha256[:12]})",
        "Processor": f"{under.machine.cpu}, {under.machine.num_cores} cores, {under.num_threads} threads",
        "Instruction set": " ".join(under.machine.instruction_set),
        "System": f"{under.machine.system}, Python {under.python}",
        "Libraries": ", ".join(f"{name} {version}" for name, version in under.libraries.items()),
        "Load average": _before_and_after(before.load_average, after.load_average, ".2f"),
        "Clock, GHz": _before_and_after(_giga(before.clock_hz), _giga(after.clock_hz), ".2f"),
        "Temperature, °C": _before_and_after(before.temperature_c, after.temperature_c, ".0f"),
        "Governor": under.governor or "not said",
        "Power mode": under.power_mode or "not said",
        "Windows": f"{result.num_windows_discarded} measured and thrown away, because figures had not settled",
        **{row.name: row.executor for row in result.rows if row.executor},
        **{f"Not here: {', '.join(names)}": reason for reason, names in table.absent_by_reason(result).items()},
    }
    return _facts(facts)


def _provenance(result: Result) -> str:
    judged = result.judged
    made = judged.provenance
    facts = {
        "Bundle": f"{judged.bundle}, SHA-256 {judged.bundle_sha256}",
        "Network": f"{made.model}, from {made.origin} {made.source_sha256[:12]}",
        "Trained on": f"data {made.data_sha256[:12]}" if made.data_sha256 else "not said",
        "Made with": ", ".join(f"{name} {version}" for name, version in made.tools.items()) or "not said",
    }
    headings = ("precision", "RMSE mm", "worst frame mm", "SSIM, worst frame", "frames", "kept FP32", "run by")
    rows = [
        (
            precision,
            _ms(certificate.parity.rmse_m),
            _ms(certificate.parity.rmse_worst_m),
            f"{certificate.parity.ssim_worst:.6f}",
            str(certificate.parity.num_frames),
            f"{sum(len(island.nodes) for island in certificate.kept_fp32)} nodes",
            escape(certificate.executor),
        )
        for precision, certificate in judged.certificates.items()
    ]
    return _facts(facts) + _table("certificates", headings, rows)


def _section(title: str, name: str, body: str) -> str:
    return f'<section id="{name}"><h2>{title}</h2>{body}</section>'


def _table(name: str, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table whose cells are HTML already."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table id="{name}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"{_save('csv', name, 'Save CSV')}"
    )


def _facts(facts: dict[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in facts.items())}</dl>"


def _save(kind: str, of: str, label: str) -> str:
    return f'<button data-kind="{kind}" data-of="{of}">{label}</button>'


def _ms(seconds: float) -> str:
    """Seconds as milliseconds, or metres as millimetres: four digits."""
    return f"{seconds * 1e3:.4g}"


def _before_and_after(before: float | None, after: float | None, form: str) -> str:
    return "not said" if before is None or after is None else f"{before:{form}} before, {after:{form}} after"


def _giga(value: float | None) -> float | None:
    return None if value is None else value / 1e9
