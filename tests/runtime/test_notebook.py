"""Notebook display: what a person sees of an estimator, its choice, a bundle and depth; and both ways to spell."""

import base64
import io
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mde_runtime import DepthEstimator, UsageError, depth_picture, installation, read_bundle
from mde_runtime.backends import BACKENDS
from mde_runtime.cli.predict import main as mde_predict


@pytest.fixture
def estimate(tiny_bundle):
    with DepthEstimator.open(tiny_bundle, "onnxruntime-cpu") as opened:
        yield opened


def image_in(html: str) -> Image.Image:
    (content,) = re.findall("base64,([^']+)", html)
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_an_estimator_and_its_choice_show_what_runs_in_a_table(estimate):
    for shown in (estimate._repr_html_(), estimate.choice._repr_html_()):
        assert "<table>" in shown
        assert "onnxruntime-cpu, fp32" in shown
    assert "0 to 20 m" in estimate._repr_html_()
    estimate.close()
    assert "closed" in estimate._repr_html_()


def test_a_choice_is_one_short_line_and_its_details_many(estimate):
    assert repr(estimate.choice) == f"<Choice {estimate.choice.short}>"
    assert re.fullmatch(
        r"onnxruntime-cpu, fp32 \(asked for\): at most 0\.000 cm off on 8 golden frames", estimate.choice.short
    )
    assert "asked for" in str(estimate.choice)


def test_a_precision_that_failed_is_in_the_short_line(make_bundle, tiny_graph):
    bundle = make_bundle(graphs={"fp32": tiny_graph(offset_m=0.5), "fp16": tiny_graph("FLOAT16")})
    with DepthEstimator.open(bundle) as estimate:
        assert "fp32 failed verification" in estimate.choice.short


def test_a_bundle_shows_its_graphs_and_hides_what_would_command_the_page(tiny_bundle, tmp_path):
    name = tmp_path / "<b>bold.mde"
    tiny_bundle.rename(name)
    shown = read_bundle(name)._repr_html_()
    assert "fp32" in shown
    assert "fp16" in shown
    assert "&lt;b&gt;bold.mde" in shown


def test_depth_shows_as_a_picture_with_a_scale(estimate, tiny_frames):
    detail = estimate.detail(tiny_frames[0])
    assert image_in(detail._repr_html_()).size[0] == 32
    assert repr(detail).startswith("<Detail 24x32 px, ")
    picture = depth_picture(detail.depth_m)
    assert picture.size == (32, 24 + 26)  # the scale's height
    top, bottom = (np.asarray(picture)[row].astype(int).sum() for row in (0, 23))
    assert top > bottom  # near is bright


def test_a_depth_picture_runs_over_the_range_that_is_given():
    depth_m = np.full((8, 60), 2.0, np.float32)
    near, far = (np.asarray(depth_picture(depth_m, 0, end))[0, 0].astype(int).sum() for end in (40.0, 2.0))
    assert near > far  # 2 m is near of 40 m, and the end of 2 m


def test_colours_are_spelt_either_way(estimate, tiny_frames):
    blue_first = tiny_frames[0][..., ::-1].copy()
    expected = estimate(tiny_frames[0])
    assert np.array_equal(estimate(blue_first, colour="bgr"), expected)
    assert np.array_equal(estimate(blue_first, color="bgr"), expected)
    assert np.array_equal(estimate.detail(blue_first, colour="bgr").depth_m, expected)
    assert np.array_equal(next(estimate.stream([blue_first], colour="bgr")), expected)


def test_two_spellings_that_differ_are_refused(estimate, tiny_frames):
    with pytest.raises(UsageError, match="give it once"):
        estimate(tiny_frames[0], colour="bgr", color="rgb")


def test_a_command_understands_both_spellings(command, tiny_bundle, tiny_frames, save_picture, tmp_path):
    picture = save_picture(tmp_path / "frame.png", tiny_frames[0])
    options = ("--format", "color", "--colors", "far-bright", "--color-range", "auto")
    assert command(mde_predict, tiny_bundle, picture, "-o", tmp_path / "out", *options).exit_code == 0
    assert (tmp_path / "out" / "frame.colour.png").exists()


def test_without_any_backends_library_the_first_words_say_what_to_install(tiny_bundle, tmp_path):
    missing = {row.library: None for row in BACKENDS.values() if row.library}
    arguments = [str(tiny_bundle), str(tmp_path), "-o", str(tmp_path / "out")]
    Image.new("RGB", (32, 24)).save(tmp_path / "a.png")
    code = (
        f"import sys; sys.modules.update({missing!r})\n"
        f"from mde_runtime.cli.predict import main; main({arguments!r}, prog_name='mde-predict')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 4
    assert ended.stderr.startswith(f"mde-predict: no backend: {installation.adding('cpu')}; ")
