"""ONNX files of every form: what an input, an output, a batch and a name may look like, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from mde_export.graph.canonical import from_bytes, to_bytes
from mde_export.graph.graft import graft, ungraft
from mde_export.judge.execute import Executor
from mde_export.request.request import Request
from mde_export.sources import Source, open_source
from mde_export.sources.first_node import first_node
from mde_export.sources.foreign import network_from_onnx
from mde_runtime import records
from mde_runtime.errors import BadInputError

PLANES = "float[1,3,8,16] image"
WEIGHT = np.random.default_rng(8).normal(0, 1, (1, 3, 3, 3)).astype(np.float32)
CONV = "Conv <pads = [1,1,1,1]>"


@pytest.fixture
def saved(tmp_path) -> Callable[..., Path]:
    """Save a network of one convolution, `w`, from the text of its input, output and nodes."""

    def save(nodes, takes=PLANES, gives="float[1,1,8,16] depth", opset=17, weights=None, domain="") -> Path:
        model = onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["{domain}" : {opset}]> net ({takes}) => ({gives}) {{ {nodes} }}'
        )
        for name, array in {"w": WEIGHT, **(weights or {})}.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        onnx.save(model, tmp_path / "net.onnx")
        return tmp_path / "net.onnx"

    return save


@pytest.fixture
def opened(tmp_path, contract) -> Callable[..., Source]:
    def open_it(path: Path, **asked) -> Source:
        (tmp_path / "contract.json").write_text(records.dumps(contract()))
        return open_source(Request(str(path), contract=tmp_path / "contract.json", **asked))

    return open_it


def answers(path: Path, source: Source, noise, feed=lambda image: image, read=lambda output: output, named="depth"):
    """What the file gives for an image, and what the graph that is made of it gives."""
    image = noise.normal(size=(1, 3, 8, 16)).astype(np.float32)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    of_file = read(session.run([named], {session.get_inputs()[0].name: feed(image)})[0])
    graph = to_bytes(source.network())
    (takes,) = onnx.ModelProto.FromString(graph).graph.input
    return of_file, next(iter(Executor(graph, literal=True).run({takes.name: image}).values()))


def check_same(of_file: np.ndarray, of_graph: np.ndarray) -> None:
    assert of_graph.shape in ((1, 1, 8, 16), (1, 8, 16))
    assert of_graph.dtype == np.float32
    np.testing.assert_allclose(of_graph.reshape(8, 16), of_file.reshape(8, 16), atol=1e-5)  # float32 rounding


@pytest.mark.parametrize(
    ("gives", "nodes"),
    [
        ("float[1,8,16] depth", "y = {conv} axis = Constant <value_ints = [1]> () depth = Squeeze (y, axis)"),
        ("float[8,16] depth", "y = {conv} axis = Constant <value_ints = [0, 1]> () depth = Squeeze (y, axis)"),
        ("float[1,8,16,1] depth", "y = {conv} depth = Transpose <perm = [0, 2, 3, 1]> (y)"),
        ("float[1,1,1,8,16] depth", "y = {conv} axis = Constant <value_ints = [0]> () depth = Unsqueeze (y, axis)"),
        ("double[1,1,8,16] depth", "y = {conv} depth = Cast <to = 11> (y)"),
        ("float depth", "depth = {conv}"),  # its shape is taken away below
    ],
)
def test_a_map_of_any_rank_and_width_is_taken(saved, opened, noise, gives, nodes):
    path = saved(nodes.replace("{conv}", f"{CONV} (image, w)"), gives=gives)
    if gives == "float depth":
        model = onnx.load(path)
        model.graph.output[0].type.tensor_type.ClearField("shape")
        onnx.save(model, path)
    check_same(*answers(path, opened(path), noise))


@pytest.mark.parametrize(
    ("takes", "nodes", "feed"),
    [
        ("double[1,3,8,16] image", "x = Cast <to = 1> (image)", lambda image: image.astype(np.float64)),
        ("float[1,8,16,3] image", "x = Transpose <perm = [0, 3, 1, 2]> (image)", lambda x: x.transpose(0, 2, 3, 1)),
        ("float[N,H,W,3] image", "x = Transpose <perm = [0, 3, 1, 2]> (image)", lambda x: x.transpose(0, 2, 3, 1)),
    ],
)
def test_an_image_in_double_or_as_pixels_is_taken(saved, opened, noise, takes, nodes, feed):
    path = saved(f"{nodes} depth = {CONV} (x, w)", takes=takes)
    check_same(*answers(path, opened(path), noise, feed))


def test_a_file_for_several_frames_is_taken_for_one_and_judged_by_itself(saved, opened, noise):
    path = saved(f"depth = {CONV} (image, w)", "float[4,3,8,16] image", "float[4,1,8,16] depth")
    source = opened(path)
    assert "each frame 4 times at once, as the file takes them" in source.reference
    check_same(*answers(path, source, noise, lambda image: image.repeat(4, axis=0), lambda output: output[:1]))


def test_a_number_of_frames_that_is_baked_in_is_refused_with_a_remedy(saved, opened):
    nodes = f"y = {CONV} (image, w) shape = Constant <value_ints = [4, 1, 8, 16]> () depth = Reshape (y, shape)"
    path = saved(nodes, "float[4,3,8,16] image", "float[4,1,8,16] depth")
    with pytest.raises(
        BadInputError, match=r"takes 4 frames at a time, and that number is baked in; export it for one"
    ):
        opened(path)


@pytest.mark.parametrize(
    ("takes", "gives", "nodes", "says"),
    [
        (PLANES, "float[1,2,8,16] depth", "y = {conv} depth = Concat <axis = 1> (y, y)", "not one map a frame"),
        (PLANES, "float[1,1,1,1] depth", "y = {conv} depth = GlobalMaxPool (y)", "a map of 1x1: one number a frame"),
        (PLANES, "int64[1,1,8,16] depth", "y = {conv} depth = Cast <to = 7> (y)", "is int64, not float32"),
        (
            "uint8[1,8,16,3] image",
            None,
            "x = Cast <to = 1> (image) depth = Identity (x)",
            "it contains its own preprocessing",
        ),
        ("float[1,4,8,16] image", None, "depth = Identity (image)", "takes 3 colours"),
        ("float[1,3,24,32] image", None, "depth = {conv}", "change the contract: --network-size 24x32"),
    ],
)
def test_what_is_no_image_or_no_map_is_refused_with_what_it_is(saved, opened, takes, gives, nodes, says):
    path = saved(nodes.replace("{conv}", f"{CONV} (image, w)"), takes, gives or "float[a,b,c,d] depth")
    with pytest.raises(BadInputError, match=says):
        opened(path)


def test_an_operator_that_only_gained_types_since_opset_20_is_taken_back_to_it(saved, opened, noise):
    nodes = f"y = {CONV} (image, w) peak = GlobalMaxPool (y) scaled = Div (y, peak) depth = Gelu (scaled)"
    path = saved(nodes, opset=22)
    source = opened(path)
    check_same(*answers(path, source, noise))
    assert source.network().opset_imports == {"": 20}


def test_an_operator_that_no_older_opset_has_is_refused_by_name(saved, opened):
    path = saved(f"y = {CONV} (image, w) depth = TensorScatter <axis = 3> (y, y)", opset=24)
    with pytest.raises(BadInputError, match=r"opset 24 does not convert to 20 \(TensorScatter\); export it"):
        opened(path)


def test_a_second_input_can_be_baked_in_as_the_refusal_says(saved, opened, noise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved(f"y = {CONV} (image, w) depth = Mul (y, focal)", f"{PLANES}, float[1] focal")
    with pytest.raises(BadInputError, match="has the inputs image, focal") as refused:
        opened(path)
    remedy = str(refused.value).partition("FLOAT [1]: ")[2].replace("VALUES", "[1.5]")
    exec(remedy, {"onnx": onnx, "np": np})
    check_same(*answers(Path("baked.onnx"), opened(Path("baked.onnx")), noise))


def test_of_several_outputs_one_is_named_by_name_or_index(saved, opened, noise):
    path = saved(f"depth = {CONV} (image, w) far = Neg (depth)", gives="float[1,1,8,16] far, float[1,1,8,16] depth")
    with pytest.raises(BadInputError, match=r"0 far \[1,1,8,16\], 1 depth \[1,1,8,16\]; choose the depth"):
        opened(path)
    for output in ("depth", "1"):
        check_same(*answers(path, opened(path, output=output), noise))
    with pytest.raises(BadInputError, match="has no output '2'; name one of 0 far"):
        opened(path, output="2")


TWO_CHANNELS = f"y = {CONV} (image, w) far = Neg (y) depth = Concat <axis = 1> (y, far)"


def test_one_channel_of_an_output_can_be_the_map(saved, opened, noise):
    path = saved(TWO_CHANNELS, gives="float[1,2,8,16] depth")
    for channel in (0, 1):
        source = opened(path, output=f"depth:{channel}")
        check_same(*answers(path, source, noise, read=lambda output, wanted=channel: output[:, wanted]))


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (None, r"gives \(1, 2, 8, 16\), not one map a frame.*--output NAME:2"),
        ("depth:2", "has no channel 2; name one of 0 to 1"),
        ("depth:x", "has no output 'depth:x'"),
    ],
)
def test_a_channel_that_is_not_there_is_refused(saved, opened, output, complaint):
    path = saved(TWO_CHANNELS, gives="float[1,2,8,16] depth")
    with pytest.raises(BadInputError, match=complaint):
        opened(path, output=output)


def test_an_output_whose_name_ends_like_a_channel_is_itself(saved, opened, noise):
    path = saved(f"depth = {CONV} (image, w)")
    proto = onnx.load(path)
    proto.graph.output[0].name = proto.graph.node[-1].output[0] = "depth:0"
    onnx.save(proto, path)
    check_same(*answers(path, opened(path, output="depth:0"), noise, named="depth:0"))


def test_onnxs_own_domain_may_be_written_out(saved, opened, noise):
    path = saved(f"depth = {CONV} (image, w)", domain="ai.onnx")
    check_same(*answers(path, opened(path), noise))


def test_names_of_the_stages_are_left_to_the_stages(saved, opened, noise, contract):
    path = saved(f"y = {CONV} (image, w) depth = Relu (y)")
    model = onnx.load(path)
    model.graph.node[0].name, model.graph.node[1].name = "to_network/cast", "from_network/clip"
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = "from_network/near_m"
    model.graph.node[0].input[1] = model.graph.initializer[0].name = "to_network/mean"
    onnx.save(model, path)
    source = opened(path)
    check_same(*answers(path, source, noise))
    network = source.network()
    inside = from_bytes(to_bytes(graft(network, contract())))
    assert [node.op_type for node in ungraft(inside).graph] == ["Conv", "Relu"]


STANDARDISED = """
    one = Constant <value = float[1] {1}> () zero = Constant <value = float[1] {0}> ()
    rows = Constant <value_ints = [1, 1, 27]> () planes = Constant <value_ints = [1, 3, 3, 3]> ()
    flat = Reshape (w, rows)
    normal, mean, var = BatchNormalization <training_mode = 1, momentum = 0.0> (flat, one, zero, zero, one)
    weight = Reshape (normal, planes)
    depth = Conv <pads = [1,1,1,1]> (image, weight)
"""


def test_weights_that_a_file_standardises_become_plain_weights(saved, opened, noise):
    path = saved(STANDARDISED)
    source = opened(path)
    check_same(*answers(path, source, noise))
    assert [node.op_type for node in source.network().graph] == ["Conv"]


def test_a_norm_in_training_mode_of_what_the_image_makes_is_refused(saved, opened):
    path = saved("""y = Conv <pads = [1,1,1,1]> (image, w)
        one = Constant <value = float[1] {1}> () zero = Constant <value = float[1] {0}> ()
        depth, mean, var = BatchNormalization <training_mode = 1> (y, one, zero, zero, one)""")
    with pytest.raises(BadInputError, match="the graph is in training mode: BatchNormalization"):
        opened(path)


@pytest.fixture
def explained(saved, contract, noise):
    """Why the graph of a file is another, after its text was changed behind its back."""

    def explain(nodes: str, before: str = "", after: str = "", opset: int = 17) -> str:
        frame = noise.integers(0, 256, (1, 12, 20, 3), np.uint8)
        networks = [
            network_from_onnx(onnx.load(saved(text, opset=opset)), contract(), None, False, "net.onnx")
            for text in (nodes, nodes.replace(before, after))
        ]
        return first_node(networks[0][1], networks[1][0], contract(), frame)

    return explain


CHAIN = f"y = {CONV} (image, w) z = LeakyRelu <alpha = 0.1> (y) depth = Sigmoid (z)"


def test_the_first_node_that_a_conversion_changed_is_named_with_what_helps(explained):
    said = explained(CHAIN, "0.1", "0.3")
    assert "its conversion differs from the file first at node" in said
    assert "(LeakyRelu), z, by up to" in said
    assert said.endswith("; export the network with that operator written in another way")
    assert explained(CHAIN, "0.1", "0.3", opset=13).endswith(
        "export the network with an opset from 17 to 20, which is not converted (it has 13)"
    )


RANDOM = {
    "RandomNormal": "n = RandomNormal <shape = [1,1,8,16]> () depth = Add (y, n)",
    "RandomNormalLike": "n = RandomNormalLike (y) depth = Add (y, n)",
    "RandomUniform": "n = RandomUniform <shape = [1,1,8,16], seed = 1.0> () depth = Add (y, n)",
    "RandomUniformLike": "n = RandomUniformLike (y) depth = Add (y, n)",
    "Bernoulli": "p = Sigmoid (y) depth = Bernoulli (p)",
    "Multinomial": """rows = Flatten <axis = 3> (y) drawn = Multinomial <sample_size = 16> (rows)
        numbers = Cast <to = 1> (drawn) sides = Shape (y) depth = Reshape (numbers, sides)""",
}


@pytest.mark.parametrize("operator", RANDOM)
def test_a_file_that_draws_random_numbers_is_refused_by_name(saved, opened, operator):
    with pytest.raises(BadInputError, match=f"{operator} .* draws random numbers, so every run gives different depth"):
        opened(saved(f"y = {CONV} (image, w) {RANDOM[operator]}"))


def test_a_random_number_in_a_branch_is_found_and_one_that_no_map_reads_is_left(saved, opened, noise):
    y = f"y = {CONV} (image, w) yes = Constant <value = bool {{1}}> ()"
    branches = """depth = If (yes) <then_branch = random () => (a) { a = RandomNormalLike (y) },
        else_branch = plain () => (b) { b = Identity (y) }>"""
    with pytest.raises(BadInputError, match="RandomNormalLike a draws"):
        opened(saved(f"{y} {branches}"))
    path = saved(f"{y} unused = RandomNormalLike (y) depth = Identity (y)")
    check_same(*answers(path, opened(path), noise))


@pytest.mark.parametrize(("flag", "is_refused"), [("yes", True), ("no", False), ("brighter", True)])
def test_dropout_is_taken_where_it_drops_nothing(saved, opened, noise, flag, is_refused):
    path = saved(f"""y = {CONV} (image, w) ratio = Constant <value = float {{0.5}}> ()
        yes = Constant <value = bool {{1}}> () no = Constant <value = bool {{0}}> ()
        sum = ReduceSum <keepdims = 0> (image) zero = Constant <value = float {{0}}> () brighter = Greater (sum, zero)
        depth = Dropout (y, ratio, {flag})""")
    if is_refused:
        with pytest.raises(BadInputError, match="Dropout depth is in training mode; export the network after"):
            opened(path)
    else:
        check_same(*answers(path, opened(path), noise))


@pytest.mark.parametrize("operator", ["Hardmax", "Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    ("opset", "axis"), [(8, ""), (8, "<axis = 2>"), (12, ""), (12, "<axis = -2>"), (13, ""), (13, "<axis = -2>")]
)
def test_a_maximum_over_rows_keeps_the_rows_of_its_opset(saved, opened, noise, operator, axis, opset):
    path = saved(f"y = {CONV} (image, w) rows = {operator} {axis} (y) depth = Add (rows, y)", opset=opset)
    check_same(*answers(path, opened(path), noise))


def test_a_faithful_graph_agrees_in_every_tensor(explained):
    assert explained(CHAIN).startswith("every tensor that graph and file both name agrees on this frame; ")


def test_more_than_2_gib_of_weights_are_too_large_and_no_attack(saved, opened, tmp_path):
    path = saved(f"depth = {CONV} (image, w)")
    model, too_many = onnx.load(path), (1 << 29) + 1
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.dims[:] = [too_many]
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    path.write_bytes(model.SerializeToString())
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(too_many * 4)  # sparse: it takes no disk
    for large in (path, tmp_path / "large.onnx"):
        with (tmp_path / "large.onnx").open("wb") as file:
            file.truncate((1 << 31) + 1)
        with pytest.raises(BadInputError, match="a bundle cannot hold 2 GiB of weights: export a smaller network"):
            opened(large)
