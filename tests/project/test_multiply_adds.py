"""Multiply-adds: the export's count and the bench's are both the textbook's."""

import onnx
import pytest

from mde_bench.machine.graph_work import work_of
from mde_export.graph.canonical import from_bytes, stripped
from mde_export.graph.work import multiply_adds_of


def layer(body, inputs, output):
    """A graph of one layer."""
    text = f'<ir_version: 8, opset_import: ["" : 18]> net ({inputs}) => ({output} y) {{ y = {body} }}'
    return onnx.parser.parse_model(text).SerializeToString()


def both_counts(graph):
    return work_of(graph).num_macs, sum(map(multiply_adds_of, stripped(from_bytes(graph)).graph))


@pytest.mark.parametrize(
    ("body", "inputs", "output", "textbook"),
    [
        ("Conv (x, w)", "float[1,3,8,8] x, float[4,3,3,3] w", "float[1,4,6,6]", 4 * 6 * 6 * 3 * 9),
        ("Conv <group = 2> (x, w)", "float[1,4,8,8] x, float[6,2,3,3] w", "float[1,6,6,6]", 6 * 6 * 6 * 2 * 9),
        ("Conv <group = 4> (x, w)", "float[1,4,8,8] x, float[4,1,3,3] w", "float[1,4,6,6]", 4 * 6 * 6 * 9),
        ("ConvTranspose <strides = [2, 2]> (x, w)", "float[1,4,8,8] x, float[4,2,3,3] w", "float[1,2,17,17]",
            4 * 8 * 8 * 2 * 9),
        ("ConvTranspose <group = 2> (x, w)", "float[1,4,8,8] x, float[4,3,3,3] w", "float[1,6,10,10]",
            4 * 8 * 8 * 3 * 9),
        ("Gemm (x, w)", "float[5,6] x, float[6,7] w", "float[5,7]", 5 * 6 * 7),
        ("Gemm <transA = 1> (x, w)", "float[6,5] x, float[6,7] w", "float[5,7]", 5 * 6 * 7),
        ("Gemm <transB = 1> (x, w)", "float[5,6] x, float[7,6] w", "float[5,7]", 5 * 6 * 7),
        ("Gemm <transA = 1, transB = 1> (x, w)", "float[6,5] x, float[7,6] w", "float[5,7]", 5 * 6 * 7),
        ("MatMul (x, w)", "float[5,6] x, float[6,7] w", "float[5,7]", 5 * 6 * 7),
        ("MatMul (x, w)", "float[2,3,5,6] x, float[2,3,6,7] w", "float[2,3,5,7]", 2 * 3 * 5 * 6 * 7),
        ("MatMul (x, w)", "float[3,5,6] x, float[6,7] w", "float[3,5,7]", 3 * 5 * 6 * 7),
        ("MatMul (x, w)", "float[5,6] x, float[3,6,7] w", "float[3,5,7]", 3 * 5 * 6 * 7),
        ("MatMul (x, w)", "float[2,1,5,6] x, float[3,6,7] w", "float[2,3,5,7]", 2 * 3 * 5 * 6 * 7),
        ("MatMul (x, w)", "float[6] x, float[6,7] w", "float[7]", 6 * 7),
        ("MatMul (x, w)", "float[5,6] x, float[6] w", "float[5]", 5 * 6),
        ("Mul (x, w)", "float[5,6] x, float[5,6] w", "float[5,6]", 0),
    ],
    ids=["conv", "grouped conv", "depthwise conv", "transposed conv", "grouped transposed conv", "gemm", "gemm, A^T",
        "gemm, B^T", "gemm, A^T B^T", "matrices", "batches", "one matrix for a batch", "a batch for one matrix",
        "broadcast batches", "vector and matrix", "matrix and vector", "no sum of products"],
)  # fmt: skip
def test_the_exports_count_and_the_benchs_are_the_textbooks(body, inputs, output, textbook):
    assert both_counts(layer(body, inputs, output)) == (textbook, textbook)
