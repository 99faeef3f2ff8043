import onnx
import pytest

from mde_export.graph.canonical import from_bytes
from mde_runtime.errors import BadInputError


def test_a_graph_whose_weight_lies_in_another_file_is_refused_unread():
    graph = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[1] x) => (float[1] y) { y = Add(x, w) }'
    )
    weight = graph.graph.initializer.add(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1])
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/hostname")
    with pytest.raises(BadInputError, match="weight w is stored in another file; do not trust this graph"):
        from_bytes(graph.SerializeToString())
