"""A target adds to the rules: layers that stay FP32, opsets and operators that it refuses."""

import onnx
import pytest

from mde_export.graph.canonical import from_bytes, stripped
from mde_export.precision.islands import kept_by_rule
from mde_export.precision.target_table import TARGETS
from mde_export.precision.targets import check_target, kept_for
from mde_runtime.errors import BadInputError


@pytest.fixture
def grouped():
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
        net (float[1,3,4,4] x) => (float[1,3,4,4] y)
        <float[3,1,1,1] w = {1, 1, 1}> { [first] a = Relu (x) [depthwise] y = Conv <group = 3> (a, w) }""")
    return stripped(from_bytes(model.SerializeToString()))


def test_a_target_without_grouped_half_kernels_keeps_them_in_float(grouped):
    assert [island.nodes for island in kept_for(grouped, "trt11")] == [("depthwise",)]
    assert kept_for(grouped, "jetpack6") == kept_for(grouped, None) == ()
    assert kept_by_rule(grouped)  # the rules hold for every target beside


def test_an_opset_that_the_target_does_not_read_is_refused(grouped):
    grouped.opset_imports[""] = TARGETS["jetpack6"].newest_opset + 1
    with pytest.raises(BadInputError, match=r"beyond TensorRT 10\.3"):
        check_target(grouped, "jetpack6")
    check_target(grouped, "jetpack7")


def test_an_operator_that_the_target_has_not_is_named():
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
        net (float[4] x) => (float[N] y) { [alone] y = Unique (x) }""")
    model = stripped(from_bytes(model.SerializeToString()))
    with pytest.raises(BadInputError, match="Unique alone has no implementation in TensorRT-RTX"):
        check_target(model, "rtx")
    check_target(model, "cpu")
