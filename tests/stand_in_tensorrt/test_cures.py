"""The cure ladder over the stand-in: an engine that gives wrong depth is built in other ways until one is right."""

import click.testing
import numpy as np
import pytest

from mde_runtime import DepthEstimator
from mde_runtime.backends import open_session
from mde_runtime.cli.bundle import main
from mde_runtime.engines import store
from mde_runtime.engines.build import BuildOptions
from mde_runtime.engines.key import key_for
from mde_runtime.files import sha256_of

pytestmark = [pytest.mark.gpu, pytest.mark.any_mode]

MARKED, LEVEL, BOTH = "tried marked outputs: ", "tried builder level 1: ", "tried marked outputs and builder level 1: "


@pytest.fixture
def engine(tiny_bundle, monkeypatch):
    """A function that builds the bundle's engine with a library that is off, unless it builds in one of these ways."""

    def build(*arguments, cures="", version="10.13.3.9"):
        monkeypatch.setenv("FAKE_TRT_OFF_M", "0.5")
        monkeypatch.setenv("FAKE_TRT_CURES", cures)
        monkeypatch.setattr("tensorrt.__version__", version)
        command = ["engine", tiny_bundle, "--flavour", "tensorrt", "--precision", "fp32", *arguments]
        return click.testing.CliRunner().invoke(main, [str(argument) for argument in command])

    return build


def kept():
    """The options of the engine that is used, of those in the store."""
    newest = max(store.entries(), key=lambda entry: entry.path.stat().st_mtime_ns)
    return newest.record.key.options


@pytest.mark.parametrize(
    ("cures", "tried", "options"),
    [
        ("marked", [f"{MARKED}right"], {"marked_outputs": True}),
        ("level<2", [f"{MARKED}RMSE of the worst", f"{LEVEL}right"], {"optimization_level": 1}),
    ],
)
def test_the_first_way_that_is_right_is_kept_and_each_says_what_came_of_it(
    engine, tiny_bundle, tiny_frames, tiny_depth, cures, tried, options
):
    ended = engine(cures=cures)
    assert ended.exit_code == 0, ended.output
    said = [line for line in ended.stderr.splitlines() if line.startswith("tried")]
    assert [line[: len(start)] for line, start in zip(said, tried, strict=True)] == tried
    assert "the engine gives wrong depth: RMSE of the worst frame is 0.5" in ended.stderr
    assert kept() == BuildOptions(**options)
    with DepthEstimator.open(tiny_bundle, backend="tensorrt", precision="fp32") as estimate:
        np.testing.assert_allclose(estimate(tiny_frames[0]), tiny_depth(tiny_frames[0]), atol=4e-6)
        assert len(list(estimate.stream(tiny_frames))) == len(tiny_frames)


def test_where_no_way_is_right_the_engine_that_was_asked_for_is_left_and_advice_is_given(engine, tmp_path):
    ended = engine("--save", tmp_path / "x.engine", version="10.3.0.30")
    assert ended.exit_code == 1
    assert [line.partition(": ")[0] for line in ended.stderr.splitlines() if line.startswith("tried")] == [
        start.removesuffix(": ") for start in (MARKED, LEVEL, BOTH)
    ]
    assert "10.3.0.30 is reported to compile some transformer" in ended.stderr
    assert "mde-bundle verify" in ended.stderr
    assert kept() == BuildOptions()
    asked = next(entry for entry in store.entries() if entry.record.key.options == BuildOptions())
    assert (tmp_path / "x.engine").read_bytes() == asked.path.read_bytes()


@pytest.mark.parametrize(("precision", "is_said"), [("fp16", True), ("fp32", False)])
def test_where_no_way_is_right_a_half_engine_names_the_export_that_keeps_nodes_in_float(engine, precision, is_said):
    ended = engine("--precision", precision)
    assert ended.exit_code == 1
    assert ("mde-export MODEL --fp16 --engine tensorrt" in ended.stderr) == is_said


def test_a_way_that_cannot_be_built_is_said_and_the_next_is_tried(engine, refuse):
    refuse("build_serialized_network:2")
    ended = engine(cures="level<2")
    assert ended.exit_code == 0, ended.output
    assert f"{MARKED}tensorrt 10.13.3.9 cannot build the graph" in ended.stderr
    assert f"{LEVEL}right" in ended.stderr


def test_an_engine_that_is_right_is_built_once(engine):
    ended = engine(cures="level<9")
    assert ended.exit_code == 0
    assert "tried" not in ended.stderr
    assert len(store.entries()) == 1


def test_marked_outputs_are_nobodys_business(tiny_graph, tiny_frames, tiny_depth):
    key = key_for(sha256_of(tiny_graph()), "tensorrt", BuildOptions(marked_outputs=True))
    store.build(key, tiny_graph())
    assert b'"marked: ' in store.find(key)[0]
    session = open_session("tensorrt", tiny_graph())
    answer = session.run({"frame": tiny_frames[:1]})
    assert set(answer) == {"depth_m", "num_nonfinite"}
    np.testing.assert_allclose(answer["depth_m"], tiny_depth(tiny_frames[:1]), atol=4e-6)
    session.close()
