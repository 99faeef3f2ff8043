"""What a CI reads: JUnit XML, a Markdown summary, and the JSON of github-action-benchmark."""

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from mde_bench import table, verdict
from mde_bench.gate import Check
from mde_bench.result import Result
from mde_runtime import files

JUNIT, SUMMARY, BENCHMARK = "junit.xml", "summary.md", "benchmark.json"


def write_ci_files(result: Result, found: Sequence[Check], folder: Path) -> None:
    """Write all three into a folder."""
    files.write_text(folder / JUNIT, junit(found))
    files.write_text(folder / SUMMARY, summary(result, found))
    files.write_text(folder / BENCHMARK, benchmark(result))


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
    lines += [f"- {_escaped(breach)}" for breach in breaches]
    lines += ["", _markdown_row(table.headings(result)), _markdown_row(["---", *["---:"] * (table.NUM_COLUMNS - 1)])]
    lines += [_markdown_row([row.name, *table.cells(row)]) for row in result.rows]
    lines += ["", *(f"<sub>{_escaped(note)}</sub><br>" for note in table.conditions_of(result))]
    return "\n".join(lines) + "\n"


def benchmark(result: Result) -> str:
    """The latencies as github-action-benchmark reads them with the tool `customSmallerIsBetter`."""
    entries = []
    for row in result.rows:
        if row.speed:
            times = row.speed.end_to_end
            half_ms = times.p50_interval_s.width * 1e3 / 2
            for name, seconds, spread in (("p50", times.p50_s, f"± {half_ms:.3g}"), ("p99", times.p99_s, "")):
                entries.append({"name": f"{row.name} {name}", "unit": "ms", "value": seconds * 1e3, "range": spread})
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(said: str) -> str:
    return said.replace("|", "\\|").replace("<", "&lt;")
