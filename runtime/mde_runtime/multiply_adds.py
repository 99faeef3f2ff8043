"""Multiply-adds of a layer, by its definition: one count for everybody."""

import math
from collections.abc import Sequence

LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def multiply_adds(
    operator: str, first: Sequence[int], second: Sequence[int], result: Sequence[int], *, is_first_transposed: bool
) -> int:
    """The multiply-adds of an ONNX operator from the shapes of its two operands and its result; 0 for any other.

    is_first_transposed: of a Gemm, its transA. An empty shape is one that nobody knows, and counts as nothing.
    """
    if operator == "Conv" and second:  # every output value sums over the weights of its channel
        return math.prod(result) * math.prod(second[1:])
    if operator == "ConvTranspose" and first and second:  # every input value meets the weights of its channel
        return math.prod(first) * math.prod(second[1:])
    if operator in ("MatMul", "Gemm") and first:
        return math.prod(result) * first[-2 if is_first_transposed else -1]  # the side that is summed over
    return 0
