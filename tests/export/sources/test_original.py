"""ONNX files of every age and form: the file itself is the reference, and what cannot be one is refused by name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner, Result
from onnx.helper import make_node
from PIL import Image

from mde_export.cli import main
from mde_runtime import DepthEstimator, records
from mde_runtime.bundle import read_bundle

HEIGHT_PX, WIDTH_PX = 16, 24
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """64 frames of smooth shapes and a little noise, uint8."""
    chance = np.random.default_rng(4)
    coarse = chance.integers(20, 235, (64, 4, 6, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return np.clip(coarse + chance.integers(-9, 10, coarse.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(frames, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("frames")
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(place / f"{index:02}.png")
    return place


@pytest.fixture
def saved(tmp_path) -> Callable[..., Path]:
    """Save a graph from `image` (1, 3, 16, 24) to `depth` as an ONNX file of some opset."""

    def save(nodes, weights=None, opset=17, shape=(1, 3, HEIGHT_PX, WIDTH_PX), ir_version=4, kind=FLOAT):
        image = onnx.helper.make_tensor_value_info("image", kind, shape)
        depth = onnx.helper.make_tensor_value_info("depth", kind, (1, 1, "rows", "columns"))
        tensors = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
        weights_too = [onnx.helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in tensors]
        inputs = [image, *(weights_too if ir_version < 4 else [])]
        graph = onnx.helper.make_graph(nodes, "net", inputs, [depth], tensors)
        opsets = [onnx.helper.make_opsetid("", opset)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=ir_version), tmp_path / "net.onnx")
        return tmp_path / "net.onnx"

    return save


@pytest.fixture
def mde_export(contract, folder, tmp_path) -> Callable[..., Result]:
    """Export a file with a contract that neither resizes nor normalises."""

    def export(path: Path, *arguments: str, height_px=HEIGHT_PX, width_px=WIDTH_PX, **changes) -> Result:
        said = contract(
            source__height_px=height_px, source__width_px=width_px, to_network__height_px=height_px,
            to_network__width_px=width_px, covers=(0, 0, height_px, width_px), multiple_of_px=1, **changes,
        )  # fmt: skip
        (tmp_path / "contract.json").write_text(records.dumps(said))
        command = [path, "--contract", tmp_path / "contract.json", "--frames", folder, "-o", tmp_path / "net.mde"]
        return CliRunner().invoke(main, [*map(str, command), *arguments], prog_name="mde-export")

    return export


def depth_of_file(path: Path, frames: np.ndarray) -> np.ndarray:
    """What the file itself makes of the frames, metres: ONNX Runtime, nothing optimised."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images = (frames / np.float32(255)).astype(np.float32).transpose(0, 3, 1, 2)
    return np.clip(np.stack([session.run(["depth"], {"image": image[None]})[0][0, 0] for image in images]), 0, 20)


def depth_of_bundle(path: Path, frames: np.ndarray) -> np.ndarray:
    with DepthEstimator.open(path, backend="onnxruntime-cpu", precision="fp32") as estimate:
        return np.stack([estimate(frame) for frame in frames])


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)


def head(name: str, seed: int = 9) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """The last convolution, from 4 channels to depth around 9 m."""
    weights = {"last": 20 * drawn(1, 4, 1, 1, seed=seed), "last_bias": np.array([9], np.float32)}
    return [make_node("Conv", [name, "last", "last_bias"], ["depth"])], weights


def old_resize(opset: int, mode: str, factors: tuple[float, float]):
    """A network whose features are 4 channels at a quarter of the size, brought back by `factors`."""
    stride = [round(factors[0]), round(factors[1])] if min(factors) >= 1 else [4, 1]
    first = make_node("Conv", ["image", "first"], ["features"], strides=stride, kernel_shape=stride)
    scales = [1.0, 1.0, *factors]
    weights = {"first": drawn(4, 3, *stride)}
    if opset == 7:
        resize = make_node("Upsample", ["features"], ["large"], mode=mode, scales=scales)
    else:
        operator = "Resize" if opset == 10 else "Upsample"
        resize = make_node(operator, ["features", "scales"], ["large"], mode=mode)
        weights["scales"] = np.array(scales, np.float32)
    last, more = head("large")
    return [first, resize, *last], weights | more


@pytest.mark.parametrize(("opset", "ir_version"), [(7, 3), (7, 4), (9, 4), (10, 4)])  # IR 3: weights are inputs too
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_old_files_keep_their_grid_where_they_enlarge(saved, mde_export, frames, tmp_path, opset, ir_version, mode):
    path = saved(*old_resize(opset, mode, (4, 2)), opset=opset, ir_version=ir_version)
    ended = mde_export(path)
    assert ended.exit_code == 0, ended.stderr
    np.testing.assert_allclose(
        depth_of_bundle(tmp_path / "net.mde", frames[:4]), depth_of_file(path, frames[:4]), atol=1e-4
    )  # float32: an order of additions


@pytest.mark.parametrize("axes", [None, [1, 2, 3]], ids=["by default", "other axes"])
@pytest.mark.parametrize("opset", [9, 13, 17])
def test_a_normalisation_of_mean_and_variance_is_read_with_and_without_its_axes(
    saved, mde_export, frames, tmp_path, opset, axes
):
    nodes, weights = head("mixed")
    norm = make_node("MeanVarianceNormalization", ["image"], ["even"], **({} if axes is None else {"axes": axes}))
    path = saved(
        [norm, make_node("Conv", ["even", "mix"], ["mixed"]), *nodes], weights | {"mix": drawn(4, 3, 1, 1)}, opset
    )
    ended = mde_export(path)
    assert ended.exit_code == 0, ended.stderr
    np.testing.assert_allclose(
        depth_of_bundle(tmp_path / "net.mde", frames[:4]), depth_of_file(path, frames[:4]), atol=1e-4
    )  # float32: an order of additions


def test_an_old_file_keeps_its_rounding_where_nearest_shrinks_one_side_and_enlarges_the_other(
    saved, mde_export, tmp_path
):
    path = saved(*old_resize(10, "nearest", (2.6, 0.7)), opset=10)
    ended = mde_export(path)
    assert ended.exit_code == 0, ended.stderr
    inside = read_bundle(tmp_path / "net.mde").graph("fp32")
    modes = [
        onnx.helper.get_node_attr_value(node, "nearest_mode")
        for node in onnx.ModelProto.FromString(inside).graph.node
        if node.op_type == "Resize" and any(attribute.name == "nearest_mode" for attribute in node.attribute)
    ]
    assert sorted(modes) == [b"ceil", b"floor"]


def test_a_file_of_opset_11_keeps_the_grid_that_it_names(saved, mde_export, frames, tmp_path):
    first = make_node("Conv", ["image", "first"], ["features"], strides=[4, 4], kernel_shape=[4, 4])
    resize = make_node("Resize", ["features", "", "scales"], ["large"], mode="linear")  # half_pixel, by default
    last, weights = head("large")
    weights |= {"first": drawn(4, 3, 4, 4), "scales": np.array([1, 1, 4, 4], np.float32)}
    path = saved([first, resize, *last], weights, opset=13)
    assert mde_export(path).exit_code == 0
    np.testing.assert_allclose(
        depth_of_bundle(tmp_path / "net.mde", frames[:4]), depth_of_file(path, frames[:4]), atol=1e-4
    )  # float32: an order of additions


def test_log_depth_over_a_wide_range_is_exported_and_judged_by_what_varies_in_it(saved, mde_export, frames, tmp_path):
    nodes, weights = plain()
    nodes[2:2] = [make_node("Conv", ["b", "middle"], ["c"])]  # the first layer and the last stay FP32
    nodes[-1].input[0] = "c"
    weights |= {"middle": np.eye(4, dtype=np.float32)[..., None, None]}
    weights |= {"last": weights["last"] / 5, "last_bias": np.array([3], np.float32)}
    path = saved(nodes, weights)
    ended = mde_export(path, "--fp16", kind="log_depth", near_m=0.02, far_m=150.0, from_network__scale=0.8, shift=-1)
    assert ended.exit_code == 0, ended.stderr
    expected_m = np.exp(0.8 * depth_of_file(path, frames[:4]) - 1)  # its map lies between 1 and 5
    np.testing.assert_allclose(depth_of_bundle(tmp_path / "net.mde", frames[:4]), expected_m, rtol=1e-5)  # float32
    parity = read_bundle(tmp_path / "net.mde").certificate("fp16").parity
    assert parity.r2 >= 0.999
    assert 0 < parity.abs_rel < 0.01  # the limit in metres alone, 7.5 cm, would let 2 % pass at these distances


def reducing_scatter():
    """Features to which others are added by a ScatterND that reaches every row."""
    nodes = [
        make_node("Conv", ["image", "one"], ["a"], pads=[1, 1, 1, 1]),
        make_node("Conv", ["image", "two"], ["b"], pads=[1, 1, 1, 1]),
        make_node("ScatterND", ["a", "rows", "b"], ["sum"], reduction="add"),
    ]
    weights = {"one": drawn(4, 3, 3, 3, seed=1), "two": drawn(4, 3, 3, 3, seed=2), "rows": np.array([[0]], np.int64)}
    return nodes, weights


def two_clips():
    """Two ranges of one tensor, as Min(Max(x)) with constants of their own."""
    nodes = [
        make_node("Conv", ["image", "one"], ["a"], pads=[1, 1, 1, 1]),
        make_node("Max", ["a", "low1"], ["m1"]), make_node("Min", ["m1", "high1"], ["c1"]),
        make_node("Max", ["a", "low2"], ["m2"]), make_node("Min", ["m2", "high2"], ["c2"]),
        make_node("Add", ["c1", "c2"], ["sum"]),
    ]  # fmt: skip
    ends = {"low1": 0.1, "high1": 0.4, "low2": -0.3, "high2": 0.2}
    return nodes, {name: np.float32(end) for name, end in ends.items()} | {"one": drawn(4, 3, 3, 3, seed=1)}


def guarded_division():
    """Features over their largest, which is 0 on a black frame, and a guard that is small beside 1."""
    nodes = [
        make_node("Conv", ["image", "one"], ["a"], pads=[1, 1, 1, 1]),
        make_node("ReduceMax", ["a"], ["largest"], axes=[1]),
        make_node("Abs", ["largest"], ["size"]),
        make_node("Add", ["size", "guard"], ["guarded"]),
        make_node("Div", ["a", "guarded"], ["sum"]),
    ]
    return nodes, {"one": drawn(4, 3, 3, 3, seed=1), "guard": np.float32(1e-8)}


@pytest.mark.parametrize("middle", [reducing_scatter, two_clips, guarded_division])
def test_a_graph_that_an_optimizer_would_break_is_exported_as_it_is(saved, mde_export, frames, tmp_path, middle):
    nodes, weights = middle()
    last, more = head("sum")
    path = saved([*nodes, *last], weights | more)
    ended = mde_export(path)
    assert ended.exit_code == 0, ended.stderr
    black = np.concatenate([frames[:4], np.zeros_like(frames[:1])])
    np.testing.assert_allclose(
        depth_of_bundle(tmp_path / "net.mde", black), depth_of_file(path, black), atol=1e-4
    )  # float32: an order of additions


def plain(kind=np.float32):
    """A network that any opset can say: two convolutions."""
    nodes = [make_node("Conv", ["image", "one"], ["a"], pads=[1, 1, 1, 1]), make_node("Relu", ["a"], ["b"])]
    last, weights = head("b")
    weights |= {"one": drawn(4, 3, 3, 3, seed=1)}
    return [*nodes, *last], {name: array.astype(kind) for name, array in weights.items()}


@pytest.mark.parametrize("opset", [6, onnx.defs.onnx_opset_version()])
def test_a_file_that_the_runtime_does_not_run_is_refused_with_its_opset_and_the_range(saved, mde_export, opset):
    nodes, weights = plain()
    if opset == 6:  # a kernel that is not there
        nodes.insert(2, make_node("Upsample", ["b"], ["c"], mode="nearest", height_scale=1.0, width_scale=1.0))
    ended = mde_export(saved(nodes, weights, opset))
    if not ended.exit_code:
        pytest.fail("the installed onnx knows no opset beyond the installed onnxruntime")
    assert ended.exit_code == 3
    assert f"net.onnx: opset {opset}; onnxruntime" in ended.stderr
    assert "It runs opsets 7 to " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_newer_ir_version_alone_refuses_no_file(saved, mde_export):
    ended = mde_export(saved(*plain(), ir_version=onnx.IR_VERSION))
    assert ended.exit_code == 0, ended.stderr


def in_half(keeps_io: bool):
    """The plain network in half, between casts or with half at both ends."""
    nodes, weights = plain(np.float16)
    if not keeps_io:
        return nodes, weights, HALF
    nodes[0].input[0], nodes[-1].output[0] = "half_image", "half_depth"
    ends = (
        [make_node("Cast", ["image"], ["half_image"], to=HALF)],
        [make_node("Cast", ["half_depth"], ["depth"], to=FLOAT)],
    )
    return [*ends[0], *nodes, *ends[1]], weights, FLOAT


@pytest.mark.parametrize("keeps_io", [True, False])
def test_a_half_file_is_widened_and_that_is_said(saved, mde_export, tmp_path, keeps_io):
    nodes, weights, kind = in_half(keeps_io)
    ended = mde_export(saved(nodes, weights, kind=kind))
    assert ended.exit_code == 0, ended.stderr
    assert "net.onnx widened from FP16 to FP32" in ended.stderr
    bundle = read_bundle(tmp_path / "net.mde")
    assert bundle.certificate("fp32").reference.startswith("net.onnx widened from FP16 to FP32, in onnxruntime")
    graph = onnx.ModelProto.FromString(bundle.graph("fp32")).graph
    assert HALF not in {tensor.data_type for tensor in graph.initializer}
    assert HALF not in {value.type.tensor_type.elem_type for value in graph.value_info}


def quantised_activation():
    """The plain network with its features through Q and DQ."""
    nodes, weights = plain()
    pair = ["scale", "zero"]
    nodes[-1].input[0] = "dequantised"
    nodes[2:2] = [
        make_node("QuantizeLinear", ["b", *pair], ["quantised"], name="features/q"),
        make_node("DequantizeLinear", ["quantised", *pair], ["dequantised"]),
    ]
    return nodes, weights | {"scale": np.float32(0.01), "zero": np.int8(0)}


def int8_weight():
    """The plain network whose first weight is stored in int8."""
    nodes, weights = plain()
    nodes[0].input[1] = "dequantised"
    nodes.insert(0, make_node("DequantizeLinear", ["stored", "scale", "zero"], ["dequantised"]))
    stored = np.clip(np.rint(weights.pop("one") / 0.01), -127, 127).astype(np.int8)
    return nodes, weights | {"stored": stored, "scale": np.float32(0.01), "zero": np.int8(0)}


def test_a_quantised_file_is_refused_by_name(saved, mde_export):
    ended = mde_export(saved(*quantised_activation()))
    assert ended.exit_code == 3
    assert "net.onnx: is quantised already (QuantizeLinear features/q); export the FP32 network" in ended.stderr


def test_weights_stored_in_int8_are_no_quantised_network(saved, mde_export, frames, tmp_path):
    path = saved(*int8_weight())
    ended = mde_export(path)
    assert ended.exit_code == 0, ended.stderr
    np.testing.assert_allclose(
        depth_of_bundle(tmp_path / "net.mde", frames[:4]), depth_of_file(path, frames[:4]), atol=1e-4
    )  # float32: an order of additions


def resized_to(height: object, width: object):
    """A network whose map is brought to a size: numbers of a trace, or half of its input's."""
    nodes = [
        make_node("Conv", ["image", "one"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        make_node("Resize", ["a", "", "", "sizes"], ["b"], mode="linear"),
    ]
    last, weights = head("b")
    weights |= {"one": drawn(4, 3, 3, 3, seed=1)}
    if height == "half":
        nodes[1] = make_node("Identity", ["a"], ["b"])
        return [*nodes, *last], weights
    return [*nodes, *last], weights | {"sizes": np.array([1, 4, height, width], np.int64)}


OPEN = (1, 3, "height", "width")


@pytest.mark.parametrize("traced", [(16, 16), (8, 12), (16, 24)])
def test_a_map_that_keeps_the_size_of_a_trace_is_refused(saved, mde_export, traced):
    ended = mde_export(saved(*resized_to(*traced), shape=OPEN))
    assert ended.exit_code == 3
    assert f"its map stays {traced[0]}x{traced[1]} whatever the size of its input" in ended.stderr


def test_a_map_that_follows_its_input_and_a_file_of_one_size_are_taken(saved, mde_export):
    assert mde_export(saved(*resized_to("half", "half"), shape=OPEN)).exit_code == 0
    assert mde_export(saved(*resized_to(16, 16))).exit_code == 0  # of one size alone, it says no more than it does


def test_a_newer_operator_is_written_out_for_the_newest_opset_that_devices_read(saved, mde_export, frames, tmp_path):
    nodes = [
        make_node("Conv", ["image", "one"], ["a"], pads=[1, 1, 1, 1]),
        make_node("GroupNormalization", ["a", "scale", "bias"], ["b"], num_groups=2),
    ]
    last, weights = head("b")
    weights |= {"one": drawn(4, 3, 3, 3, seed=1), "scale": drawn(4, seed=2), "bias": drawn(4, seed=3)}
    path = saved([*nodes, *last], weights, opset=22, ir_version=10)
    ended = mde_export(path)
    assert ended.exit_code == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    graph = onnx.ModelProto.FromString(read_bundle(tmp_path / "net.mde").graph("fp32"))
    assert graph.opset_import[0].version == 20
    np.testing.assert_allclose(
        depth_of_bundle(tmp_path / "net.mde", frames[:4]), depth_of_file(path, frames[:4]), atol=1e-4
    )  # float32: an order of additions


def test_a_network_that_magnifies_rounding_fails_and_is_told_no_training(saved, mde_export, tmp_path):
    nodes, weights = plain()
    nodes[-1].input[0] = "chaos"
    nodes[2:2] = [make_node("Mul", ["b", "huge"], ["far"]), make_node("Sin", ["far"], ["chaos"])]
    weights["huge"] = np.array(3e7, np.float32)  # what another order of additions does becomes the whole answer
    ended = mde_export(saved(nodes, weights))
    assert ended.exit_code == 1
    last = ended.stderr.splitlines()[-1]
    assert "fp32 certificate failed" in last
    assert "every tensor that graph and file both name agrees on this frame; export the network with" in last
    assert "training" not in last
    assert not (tmp_path / "net.mde").exists()
