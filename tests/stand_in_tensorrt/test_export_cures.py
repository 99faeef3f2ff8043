"""The cure ladder of an export over the stand-in: ways that leave the graph alone, then few nodes in FP32."""

import click.testing
import numpy as np
import onnx.parser
import pytest
from PIL import Image

from mde_export.cli import main
from mde_export.engine.cures import MOST_ISLANDS, fewest_neighbours
from mde_runtime.bundle import read_bundle

pytestmark = [pytest.mark.gpu, pytest.mark.any_mode]

BODY = ("second", "bend", "third", "bow", "fourth", "turn")  # nodes that may be half
NETWORK = """<ir_version: 8, opset_import: ["" : 17]>
    net (float[1,3,24,32] x) => (float[1,1,24,32] y) {
        [first] a = Conv (x, w)
        [second] b = Conv (a, w)
        [bend] c = Sigmoid (b)
        [third] d = Conv (c, w)
        [bow] e = Sigmoid (d)
        [fourth] f = Conv (e, w)
        [turn] g = Sigmoid (f)
        [head] y = Conv (g, h)
    }"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A network as an ONNX file, and pictures."""
    folder = tmp_path_factory.mktemp("made")
    network = onnx.parser.parse_model(NETWORK)
    mixed = np.array([[3.0, -1, 0], [0, 3, -1], [-1, 0, 3]], np.float32).reshape(3, 3, 1, 1)
    head = np.array([[40.0, 10, 20]], np.float32).reshape(1, 3, 1, 1)
    network.graph.initializer.extend(onnx.numpy_helper.from_array(*pair) for pair in ((mixed, "w"), (head, "h")))
    onnx.save(network, folder / "net.onnx")
    chance = np.random.default_rng(7)
    (folder / "pictures").mkdir()
    for number in range(64):
        frame = chance.integers(0, 256, (24, 32, 3), np.uint8)
        Image.fromarray(frame).save(folder / "pictures" / f"{number}.png")
    return folder


@pytest.fixture
def export(made, tmp_path, monkeypatch):
    """A function that exports the network with an engine of a library that is off, but for these cures."""

    def run(*arguments, cures="", version="10.13.3.9", off_m="0.5"):
        monkeypatch.setenv("FAKE_TRT_OFF_M", off_m)
        monkeypatch.setenv("FAKE_TRT_CURES", cures)
        monkeypatch.setattr("tensorrt.__version__", version)
        described = ["--mean", "none", "--resize", "stretch", "--kind", "metric_depth", "--range", "0:100"]
        command = [made / "net.onnx", "--frames", made / "pictures", *described, "-o", tmp_path / "x.mde", *arguments]
        return click.testing.CliRunner().invoke(main, [str(argument) for argument in command])

    return run


def tried(ended):
    """What was tried and what came of it, in a few letters: `marked outputs: RMSE`."""
    lines = [line.removeprefix("tried ") for line in ended.stderr.splitlines() if line.startswith("tried ")]
    return [f"{way}: {verdict.split()[0]}" for way, _, verdict in (line.partition(": ") for line in lines)]


def cured_nodes(bundle):
    islands = read_bundle(bundle).certificate("fp16").kept_fp32
    return [island.nodes for island in islands if "the engine of tensorrt" in island.reason]


def half_nodes(model):
    graph = onnx.shape_inference.infer_shapes(model).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    return {node.name for node in graph.node if kinds.get(node.output[0]) == onnx.TensorProto.FLOAT16} & set(BODY)


LADDER = ["marked outputs: RMSE", "builder level 1: RMSE", "marked outputs and builder level 1: RMSE"]
FP16 = ("--fp16", "--engine", "tensorrt")


def test_where_no_other_build_is_right_few_nodes_are_kept_in_float_and_judged(export, tmp_path):
    ended = export(*FP16, cures="float:third")
    assert ended.exit_code == 0, ended.output
    assert tried(ended) == [
        *LADDER,
        "6 of 6 nodes in FP32, second to turn: right",
        "3 of 6 nodes in FP32, bow to turn: RMSE",
        "3 of 6 nodes in FP32, second to third: right",
        "1 of 6 nodes in FP32, third: right",
    ]
    assert "the engine gives wrong depth: RMSE of the worst frame is 0.5" in ended.stderr
    assert "kept: 1 of 6 nodes in FP32, third" in ended.stderr
    assert "certificate with what tensorrt 10.13.3.9 needs" in ended.stderr
    assert cured_nodes(tmp_path / "x.mde") == [("third",)]
    shipped = read_bundle(tmp_path / "x.mde").graph("fp16")
    assert half_nodes(onnx.load_from_string(shipped)) == set(BODY) - {"third"}


@pytest.mark.parametrize("nodes", [("bow", "fourth"), ("third", "bow", "fourth")])
def test_nodes_on_both_sides_of_the_middle_are_found_together(export, tmp_path, nodes):
    ended = export(*FP16, cures=f"float:{'+'.join(nodes)}")
    assert ended.exit_code == 0, ended.output
    (kept,) = cured_nodes(tmp_path / "x.mde")
    assert set(nodes) <= set(kept) < set(BODY)


def test_a_build_that_leaves_the_graph_alone_goes_before_nodes_in_float(export, tmp_path):
    ended = export(*FP16, cures="level<2")
    assert ended.exit_code == 0, ended.output
    assert tried(ended) == ["marked outputs: RMSE", "builder level 1: right"]
    assert cured_nodes(tmp_path / "x.mde") == []
    assert b'"level": 1' in (tmp_path / "x.fp16.engine").read_bytes()


def test_a_build_that_fails_is_said_and_the_next_is_tried(export, refuse):
    refuse("build_serialized_network:2")
    ended = export(*FP16, cures="level<2")
    assert ended.exit_code == 0, ended.output
    assert tried(ended) == ["marked outputs: tensorrt", "builder level 1: right"]


def test_an_engine_that_is_right_is_built_once(export, tmp_path):
    ended = export(*FP16, off_m="0")
    assert ended.exit_code == 0, ended.output
    assert tried(ended) == cured_nodes(tmp_path / "x.mde") == []
    assert "engine gives right depth here" in ended.stderr


def test_where_nothing_is_right_the_bundle_is_written_without_an_engine_and_advice_is_given(export, tmp_path):
    ended = export(*FP16, version="10.3.0.30")
    assert ended.exit_code == 1, ended.output
    assert tried(ended) == [*LADDER, "6 of 6 nodes in FP32, second to turn: RMSE"]
    assert "10.3.0.30 is reported to compile some transformer" in ended.stderr
    assert "written without an engine. With another version of the library: mde-bundle engine x.mde" in ended.stderr
    assert cured_nodes(tmp_path / "x.mde") == []
    assert not list(tmp_path.glob("*.engine"))


def test_a_network_that_is_right_in_float_alone_has_no_half_engine(export, tmp_path):
    ended = export(*FP16, cures=f"float:{'+'.join(BODY)}")
    assert ended.exit_code == 1, ended.output
    assert "only the whole network in FP32 is right, and leaves nothing in fp16" in ended.stderr
    assert cured_nodes(tmp_path / "x.mde") == []
    assert not list(tmp_path.glob("*.engine"))


def test_a_graph_in_float_has_no_nodes_to_keep_in_it(export, tmp_path):
    ended = export("--engine", "tensorrt")
    assert ended.exit_code == 1, ended.output
    assert tried(ended) == LADDER
    assert (tmp_path / "x.mde").exists()


@pytest.mark.parametrize("most", [1, 2, 5, MOST_ISLANDS, 100])
def test_neighbours_are_found_within_the_number_of_questions(most):
    nodes = [f"n{index}" for index in range(23)]
    for start in range(23):
        for end in range(start + 1, 24):
            asked = []

            def is_right(kept, wanted=frozenset(nodes[start:end]), asked=asked):
                asked.append(kept)
                return wanted <= set(kept)

            found = fewest_neighbours(nodes, is_right, most)
            assert set(nodes[start:end]) <= set(found)
            assert len(asked) <= most
            if most == 100 and end == start + 1:
                assert found == nodes[start:end]


def test_where_all_of_them_do_not_help_nothing_else_is_asked():
    asked = []
    assert fewest_neighbours(["a", "b", "c"], lambda kept: asked.append(kept) or False, MOST_ISLANDS) is None
    assert len(asked) == 1
