"""--target refuses what the library on the device cannot read, by name and at the export."""

import onnx
import pytest

from mde_export.graph.canonical import from_bytes, stripped
from mde_export.precision.target_table import TARGETS
from mde_export.precision.targets import check_target
from mde_runtime.errors import BadInputError

TENSORRTS = [name for name, target in TARGETS.items() if target.is_tensorrt]


def network(body: str, constants: str = "", opset: int = 18):
    """(float[1,4,8,8] x) to y, of any shape, from text."""
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : {opset}]>
        net (float[1,4,8,8] x) => (float[N,C,H,W] y) {constants} {{ {body} }}""")
    return stripped(from_bytes(model.SerializeToString()))


SCALES = "<float[4] s = {1, 1, 0.5, 0.5}>"
ROWS = "<int64[1,1] rows = {0}>"
SPLIT = "<int64[2] sizes = {2, 2}, int64 first = {0}>"
UNREAD = {
    "a resize that averages": ('[node] y = Resize <mode = "linear", antialias = 1> (x, , s)', SCALES),
    "a resize that keeps the aspect": (
        '[node] y = Resize <mode = "linear", axes = [2, 3], keep_aspect_ratio_policy = "not_larger"> (x, , , sides)',
        "<int64[2] sides = {4, 6}>",
    ),
    "a resize of a crop": (
        '[node] y = Resize <mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize"> (x, roi, s)',
        "<float[4] s = {1, 1, 0.5, 0.5}, float[8] roi = {0, 0, 0, 0, 1, 1, 1, 1}>",
    ),
    "a scatter that adds": ('[node] y = ScatterND <reduction = "add"> (x, rows, x)', ROWS),
    "a pooling that tells where": (
        "m, i = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x) [node] y = MaxUnpool <kernel_shape = [2,2], "
        "strides = [2,2]> (m, i)",
        "",
    ),
    "a dilated pooling": ("[node] y = AveragePool <kernel_shape = [2,2], dilations = [2,2]> (x)", ""),
    "a sequence": ("q = SplitToSequence <axis = 1> (x, sizes) [node] y = SequenceAt (q, first)", SPLIT),
    "integer arithmetic": (
        "q, scale, zero = DynamicQuantizeLinear (x) [node] y = DequantizeLinear (q, scale, zero)",
        "",
    ),
}


@pytest.mark.parametrize("target", TENSORRTS)
@pytest.mark.parametrize(("body", "constants"), UNREAD.values(), ids=UNREAD)
def test_what_tensorrt_does_not_read_is_refused_for_each_of_its_targets_and_not_for_cpus(body, constants, target):
    opset = 19 if "tells" in body or "dilations" in body else 18
    model = network(body, constants, opset)
    with pytest.raises(BadInputError, match=f"has no implementation in {TARGETS[target].library}; replace it"):
        check_target(model, target)
    check_target(model, "cpu")


READ = {
    "a plain resize": ('[node] y = Resize <mode = "linear"> (x, , s)', SCALES),
    "a cubic resize": ('[node] y = Resize <mode = "cubic"> (x, , s)', SCALES),
    "a scatter that replaces": ("[node] y = ScatterND (x, rows, x)", ROWS),
    "a pooling": ("[node] y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x)", ""),
    "a largest of all": ("v, i = TopK (x, k) [node] y = Relu (v)", "<int64[1] k = {3}>"),
}


@pytest.mark.parametrize("target", TENSORRTS)
@pytest.mark.parametrize(("body", "constants"), READ.values(), ids=READ)
def test_the_forms_that_tensorrt_reads_pass(body, constants, target):
    check_target(network(body, constants), target)


def test_a_zero_point_that_is_not_0_is_refused():
    constants = "<float s = {{0.1}}, uint8 z = {{{}}}>"
    body = "q = QuantizeLinear (x, s, z) [node] y = DequantizeLinear (q, s, z)"
    with pytest.raises(BadInputError, match=r"QuantizeLinear .* with a zero point that is not 0"):
        check_target(network(body, constants.format(128)), "jetpack6")
    check_target(network(body, constants.format(0)), "jetpack6")


def test_the_body_of_a_branch_is_looked_into():
    body = """least = ReduceMin <keepdims = 0> (x) go = Cast <to = 9> (least)
        y = If (go) <then_branch = yes () => (float[N,C,H,W] t) { [inside] t = Resize <antialias = 1> (x, , s) },
                     else_branch = no () => (float[N,C,H,W] e) { e = Identity (x) }>"""
    with pytest.raises(BadInputError, match="Resize inside with antialias"):
        check_target(network(body, SCALES), "jetpack7")


def test_what_the_installed_tensorrt_rtx_refuses_beyond_the_table_is_refused_with_its_reason():
    pytest.importorskip("tensorrt_rtx")
    model = network("[node] q = Cast <to = 4> (x) [back] y = Cast <to = 1> (q)")  # through uint16
    check_target(model, "jetpack6")  # the table knows operators, not types
    with pytest.raises(BadInputError, match=r"tensorrt-rtx \S+ cannot read the graph: node \(Cast\).*--target rtx"):
        check_target(model, "rtx")


def test_the_table_lacks_no_operator_that_the_installed_tensorrt_rtx_denies():
    library = pytest.importorskip("tensorrt_rtx")
    logger = library.Logger(library.Logger.INTERNAL_ERROR)
    builder = library.Builder(logger)
    network = builder.create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = library.OnnxParser(network, logger)
    readable = {
        schema.name
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.domain == "" and schema.since_version <= TARGETS["rtx"].newest_opset and not schema.deprecated
    }
    assert {name for name in readable if not parser.supports_operator(name)} <= TARGETS["rtx"].missing
