"""Files for a CI: JUnit XML, a Markdown summary, and the JSON of github-action-benchmark."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from mde_bench.compare.bundles import Comparisons
from mde_bench.report import table
from mde_bench.report.markdown import escaped, markdown_table
from mde_bench.result import verdict
from mde_bench.result.gate import Check
from mde_bench.result.result import Result
from mde_runtime import files

JUNIT, SUMMARY, BENCHMARK = "junit.xml", "summary.md", "benchmark.json"


def write_ci_files(result: Result, found: Sequence[Check], folder: Path) -> None:
    """Write all three into a folder."""
    _write(folder, junit(found), summary(result, found), benchmark(result))


def write_comparison_files(compared: Comparisons, title: str, folder: Path) -> None:
    """Write the same three files of a comparison."""
    found = [
        Check(it.name, "is not slower", str(it) if it.verdict in ("slower", "undecided") else None)
        for it in compared.comparisons
    ]
    _write(folder, junit(found), comparison_summary(compared, found, title), comparison_benchmark(compared))


def comparison_summary(compared: Comparisons, found: Sequence[Check], title: str) -> str:
    """The verdicts as a table, for a pull request."""
    is_bad = any(check.breach for check in found)
    rows = [
        (
            it.name,
            it.verdict,
            f"{it.ratio.value:.4f}",
            f"{it.ratio.interval.low:.4f} to {it.ratio.interval.high:.4f}",
            f"{it.smallest_seen:.1%}",
        )
        for it in compared.comparisons
    ]
    headings = ("candidate", "verdict", "time over the old", "interval", "could have seen")
    return (
        f"## {'❌' if is_bad else '✅'} {escaped(title)}\n\n{markdown_table(headings, rows, num_left=2)}\n\n"
        f"<sub>{escaped(compared.stated)}</sub>\n"
    )


def comparison_benchmark(compared: Comparisons) -> str:
    """The ratios as github-action-benchmark reads them."""
    return _entries(
        (f"{it.name} time over the old", "ratio", it.ratio.value, f"± {it.ratio.interval.width / 2:.3g}")
        for it in compared.comparisons
    )


def junit(found: Sequence[Check]) -> str:
    """Every check as a test case of the suite `mde-bench`; its class is the candidate."""
    num_failures = sum(check.breach is not None for check in found)
    suite = ElementTree.Element("testsuite", name="mde-bench", tests=str(len(found)), failures=str(num_failures))
    for check in found:
        case = ElementTree.SubElement(suite, "testcase", classname=check.candidate, name=check.what)
        if check.breach is not None:
            ElementTree.SubElement(case, "failure", message=check.breach)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def summary(result: Result, found: Sequence[Check]) -> str:
    """The verdict, every breach and the table, for a pull request."""
    breaches = [f"{check.candidate}: {check.breach}" for check in found if check.breach is not None]
    breaches += [f"not valid: {reason}" for reason in result.invalid_because]
    lines = [f"## {'❌' if breaches else '✅'} {verdict.in_words(result)}", ""]
    lines += [f"- {escaped(breach)}" for breach in breaches]
    rows = [(row.name, *table.cells(row)) for row in result.rows]
    lines += ["", markdown_table(table.headings(result), rows, num_left=1)]
    lines += ["", *(f"<sub>{escaped(note)}</sub><br>" for note in table.conditions_of(result))]
    return "\n".join(lines) + "\n"


def benchmark(result: Result) -> str:
    """The latencies as github-action-benchmark reads them with the tool `customSmallerIsBetter`."""
    entries = []
    for row in result.rows:
        if row.speed:
            times = row.speed.end_to_end
            half_ms = times.p50_interval_s.width * 1e3 / 2
            for name, seconds, spread in (("p50", times.p50_s, f"± {half_ms:.3g}"), ("p99", times.p99_s, "")):
                entries.append((f"{row.name} {name}", "ms", seconds * 1e3, spread))
    return _entries(entries)


def _write(folder: Path, junit_xml: str, summary_md: str, benchmark_json: str) -> None:
    for name, content in ((JUNIT, junit_xml), (SUMMARY, summary_md), (BENCHMARK, benchmark_json)):
        files.write_text(folder / name, content)


def _entries(figures: Iterable[tuple[str, str, float, str]]) -> str:
    """Name, unit, value and range of each as the action's JSON."""
    entries = [{"name": name, "unit": unit, "value": value, "range": spread} for name, unit, value, spread in figures]
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
