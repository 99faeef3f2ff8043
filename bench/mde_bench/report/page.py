"""The report as one HTML page: the verdict first, then what it rests on."""

import json
from html import escape
from pathlib import Path

from mde_bench.accuracy.frames import Scene
from mde_bench.report.conditions_section import conditions, provenance
from mde_bench.report.fidelity import fidelity
from mde_bench.report.html import save_button, section
from mde_bench.report.panels import Shown, panels
from mde_bench.report.speed import speed
from mde_bench.report.style import SCRIPT, STYLE
from mde_bench.result import verdict
from mde_bench.result.result import Result
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
        section("Speed", "speed", speed(result)),
        section("Parity and accuracy", "parity", fidelity(result)),
        section("Pictures", "pictures", _pictures(outcome, scene)),
        section("Conditions of the measurement", "conditions", conditions(result)),
        section("Certificates and provenance", "provenance", provenance(result)),
    )
    title = f"{result.judged.bundle}: bench"
    content = json.dumps(records.to_json(result), allow_nan=False).replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>'
        f'{escape(title)}</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head><body>{"".join(sections)}'
        f"<footer>{escape(result.tool)}, {escape(result.started)}, {result.seconds:.0f} s. "
        f"{save_button('json', 'result', 'Save everything as JSON, including raw samples')}</footer>"
        f'<script type="application/json" id="result">{content}</script><script>{SCRIPT}</script></body></html>\n'
    )


def _verdict(result: Result) -> str:
    found = verdict.problems(result)
    lines = (*found, *verdict.exceptions(result), *verdict.useless_int8(result))
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        f'<header class="verdict {"no" if found else "yes"}" id="verdict"><b class="word">'
        f"{verdict.word(result)}</b><h1>{escape(verdict.in_words(result))}</h1>"
        f'<p class="soft">{escape(result.judged.bundle)} ({escape(result.judged.provenance.model)}) on '
        f"{escape(result.conditions.machine.cpu)}, {result.conditions.threads}</p>"
        f"<ul>{listed}</ul></header>"
    )


def _pictures(outcome: Outcome, scene: Scene) -> str:
    result = outcome.result
    best = verdict.headline(result)
    if best is None:
        return "<p>No candidate gave depth that can be shown.</p>"
    from_network = result.judged.contract.from_network
    reference = outcome.predictions.get(result.rows[0].name) if best.parity else None
    depth_m, reference_m = outcome.predictions[best.name].depth_m, reference.depth_m if reference else None
    shown = Shown(best, depth_m, reference_m, scene, from_network)
    return (
        f'<p class="soft">Of {escape(best.name)}; ground truth is clipped to {from_network.near_m:g} to '
        f"{from_network.far_m:g} m, the model's range. Best, median and worst are by RMSE to ground truth. "
        '<span class="on-screen">Click a picture to save it.</span></p>'
        f"{panels(shown)}"
    )
