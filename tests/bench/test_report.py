"""The report in a browser: it asks the network for nothing, says nothing on the console, and reads everywhere."""

import dataclasses
import io
import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from mde_bench.accuracy.frames import Excerpt
from mde_bench.plan import plan_run
from mde_bench.report.html import signed
from mde_bench.report.markdown import markdown_table
from mde_bench.report.page import page, write_report
from mde_bench.report.pareto_plot import pareto_front, pareto_plot
from mde_bench.report.style import STYLE
from mde_bench.report.svg import TEXT_WIDTH, WIDTH, Axis, Mark, axis_over, marks
from mde_bench.report.table import SPEED, cells, terminal_table
from mde_bench.result.verdict import headline
from mde_bench.run import carry_out
from mde_bench.timing.effort import EFFORTS

SECTIONS = ("verdict", "speed", "parity", "pictures", "conditions", "provenance")


@pytest.fixture
def written(tiny_bundle, tiny_data, badly, tmp_path):
    """A report of one that is right, one that is wrong and one that crashes."""
    excerpt = Excerpt(tiny_data, None, 8)
    plan = plan_run(tiny_bundle, None, excerpt, "seed", 1, EFFORTS["brief"], only=("onnxruntime-cpu *",))
    wrong = dataclasses.replace(badly("steady", fault="wrong_depth"), name="wrong <b>depth</b>")
    crash = dataclasses.replace(badly("steady", fault="crash"), name="crash")
    plan = dataclasses.replace(plan, candidates=(*plan.candidates, wrong, crash))
    outcome = carry_out(plan)
    write_report(outcome, plan.scene, tmp_path / "report.html")
    return tmp_path / "report.html", outcome, plan


@pytest.fixture
def browser():
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


def test_the_page_opens_alone_and_fits_every_screen(written, browser):
    num_strips = 4 if headline(written[1].result).parity else 3  # the reference is not held against itself
    for width_px, scheme in itertools.product((360, 1280), ("light", "dark")):
        requests, complaints = [], []
        context = browser.new_context(viewport={"width": width_px, "height": 800}, color_scheme=scheme, offline=True)
        tab = context.new_page()
        tab.on("request", lambda request, seen=requests: seen.append(request.url))
        tab.on("console", lambda message, heard=complaints: heard.append(message.text))
        tab.on("pageerror", lambda error, heard=complaints: heard.append(str(error)))
        tab.goto(written[0].as_uri())
        assert requests == [written[0].as_uri()]
        assert complaints == []
        for section in SECTIONS:
            assert tab.locator(f"#{section}").is_visible()
        assert tab.locator("svg").count() == 2
        assert tab.locator(".strip img").count() == 4 * num_strips
        assert tab.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width_px


def test_the_table_in_the_terminal_fits_80_columns_and_cuts_no_figure(written):
    result = written[1].result
    named = dataclasses.replace(result.rows[0], name="openvino-throughput fp32")
    text = io.StringIO()
    Console(width=80, file=text).print(terminal_table(dataclasses.replace(result, rows=(named, *result.rows[1:]))))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if "…" in line] == []
    for row in (named, *result.rows[1:]):
        fast = [cell for name, cell in zip(SPEED, cells(row), strict=False) if name not in ("mean", "min")]
        assert any(re.search(r"\s+".join(map(re.escape, fast)), line) for line in lines), row.name


def test_on_paper_nothing_is_cut_off_and_no_button_is_left(written, browser):
    tab = browser.new_page(viewport={"width": 720, "height": 1000})  # A4 less its margins, in CSS pixels
    tab.goto(written[0].as_uri())
    tab.emulate_media(media="print")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 720
    assert not any(button.is_visible() for button in tab.locator("button").all())
    first, second = tab.locator(".plots figure").all()
    assert first.bounding_box()["y"] == second.bounding_box()["y"]


def point(name, median_ms, rmse_mm):
    """A candidate as the plot sees it."""
    speed = SimpleNamespace(end_to_end=SimpleNamespace(p50_s=median_ms / 1e3))
    return SimpleNamespace(name=name), speed, SimpleNamespace(rmse_m=rmse_mm / 1e3)


@pytest.mark.parametrize("width_px", [360, 1280])
@pytest.mark.parametrize(
    "points",
    [
        (("openvino fp32", 95.5, 0.0012), ("openvino fp16", 104.5, 1.19), ("onnxruntime-cpu fp16", 124.1, 1.19)),
        (("openvino fp32", 11.2, 0.003), ("onnxruntime-cpu fp32", 11.2, 0.002), ("openvino int8", 3.7, 101.0)),
        (
            ("onnxruntime-cpu fp16", 16.3, 9.0),
            ("openvino fp16", 16.4, 9.5),
        ),  # below the limit's label and the reference
    ],
)
def test_no_text_in_the_plot_of_speed_and_parity_hides_another(browser, width_px, points):
    reference = point("the reference", 16.4, 0.0)[1]
    drawn = pareto_plot([point(*each) for each in points], reference, 20.0)
    tab = browser.new_page(viewport={"width": width_px, "height": 800})
    tab.set_content(f'<style>{STYLE}</style><div class="plots"><figure>{drawn}</figure></div>')
    boxes = [(each.text_content(), each.bounding_box()) for each in tab.locator("#pareto text").all()]
    assert {name for name, *_ in points} <= {text for text, _ in boxes}
    for (one_text, one), (other_text, other) in itertools.combinations(boxes, 2):
        is_beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
        # A box holds the line's spacing as well, a fifth of its height on either side.
        slack = 0.4 * min(one["height"], other["height"])
        upper, lower = sorted((one, other), key=lambda box: box["y"])
        is_above = upper["y"] + upper["height"] <= lower["y"] + slack
        assert is_beside or is_above, (one_text, other_text)


def test_the_text_of_plots_is_readable_on_a_phone(written, browser):
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto(written[0].as_uri())
    size_px = "text => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a"
    sizes_px = tab.locator("svg text").evaluate_all(f"texts => texts.map({size_px})")
    assert min(sizes_px) >= 11  # CSS pixels: what browsers' own small text has


def test_every_figure_can_be_saved(written, browser, tmp_path):
    tab = browser.new_context(accept_downloads=True).new_page()
    tab.goto(written[0].as_uri())
    for button in tab.locator("button").all():
        with tab.expect_download() as download:
            button.click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
    saved = sorted(path.name for path in tmp_path.iterdir() if path.suffix in (".csv", ".json", ".svg"))
    assert saved == [
        "anatomy.csv",
        "certificates.csv",
        "costs.csv",
        "latency.svg",
        "pareto.svg",
        "parity-table.csv",
        "result.json",
        "speed-table.csv",
    ]
    assert json.loads((tmp_path / "result.json").read_text())["rows"][0]["speed"]["samples"]["wall_ns"]
    with tab.expect_download() as download:
        tab.locator(".strip img").first.click()
    assert download.value.suggested_filename.endswith(".png")


def test_the_verdict_comes_first_and_names_what_failed(written, browser):
    path, outcome, plan = written
    drifted = dataclasses.replace(outcome, result=dataclasses.replace(outcome.result, invalid_because=("it drifted",)))
    write_report(drifted, plan.scene, path)
    tab = browser.new_page()
    tab.goto(path.as_uri())
    said = tab.locator("body > :first-child").inner_text()
    assert "NOT VALID" in said
    assert "DOES NOT HOLD" not in said
    assert "the times are not valid: it drifted" in said
    assert "no time is stated" in tab.locator("h1").inner_text()
    assert " ms per frame" not in tab.locator("h1").inner_text()
    assert "crash failed: its process was killed by SIGSEGV" in said
    assert "wrong <b>depth</b> differs from the reference" in said


def test_the_page_is_well_formed(written):
    class Tags(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open_tags = []

        def handle_starttag(self, tag, attributes):  # noqa: ARG002  the parser's own signature
            if tag not in ("meta", "link", "img", "br"):
                self.open_tags.append(tag)

        def handle_startendtag(self, tag, attributes):
            pass

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    tags = Tags()
    tags.feed(written[0].read_text())
    assert tags.open_tags == []


def test_the_same_outcome_gives_the_same_page_without_a_path_of_the_machine(written, tmp_path):
    path, outcome, plan = written
    assert page(outcome, plan.scene) == path.read_text()
    assert str(tmp_path) not in path.read_text()
    assert str(Path.home()) not in path.read_text()


@pytest.mark.parametrize("is_log", [False, True])
def test_an_axis_has_its_ticks_inside_and_in_order(is_log):
    chance = np.random.default_rng(5)
    for _ in range(200):
        low = 10 ** chance.uniform(-4, 4)
        axis = axis_over([low, low * 10 ** chance.uniform(0.01, 3)], 0, 100, is_log=is_log)
        ticks = axis.ticks()
        assert ticks == sorted(ticks)
        assert 1 <= len(ticks) <= 12
        assert all(axis.low <= tick <= axis.high * (1 + 1e-9) for tick in ticks)


def test_a_value_beyond_an_axis_is_drawn_at_its_end():
    assert Axis(1, 10, 0, 100).at(99) == 100


def test_names_of_dots_at_the_border_stay_inside_and_apart():
    close = [Mark(WIDTH - 40.0 - index / 2, 200.0, f"resnet34-skip fp{index}") for index in range(4)]
    texts = [re.search(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)"', part) for part in marks(close)]
    width = len(close[0].name) * TEXT_WIDTH
    shares = {"start": 0, "middle": 0.5, "end": 1}  # of the width left of the anchor
    places = [(float(found[1]) - shares[found[3]] * width, float(found[2])) for found in texts if found]
    assert len(places) == 4
    assert all(0 <= left <= WIDTH - width for left, _ in places)
    for (left, base), (other_left, other_base) in itertools.combinations(places, 2):
        assert abs(left - other_left) >= width or abs(base - other_base) >= 15  # units: the height of the text


@pytest.mark.parametrize(("value", "text"), [(-0.004, "+0.00"), (0.004, "+0.00"), (-0.006, "-0.01"), (0.7, "+0.70")])
def test_a_bias_that_rounds_to_nothing_has_no_minus(value, text):
    assert signed(value) == text


def test_the_front_holds_what_no_other_beats_in_both():
    assert pareto_front([(8.0, 2.8), (1.0, 2.9), (9.0, 3.0), (1.0, 4.0)], lambda it: it) == [(1.0, 2.9), (8.0, 2.8)]


def test_a_cell_cannot_end_its_column_or_begin_a_tag():
    assert markdown_table(("name", "ms"), [("a | <b>", "1.5")], num_left=1).splitlines() == [
        "| name | ms |",
        "| --- | ---: |",
        r"| a \| &lt;b> | 1.5 |",
    ]
