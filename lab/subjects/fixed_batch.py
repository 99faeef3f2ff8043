"""Batches of several sizes for sessions that take only one: a session for each, opened when its size first comes."""

from collections.abc import Callable
from typing import Generic, TypeVar

Opened = TypeVar("Opened")


class ByBatch(Generic[Opened]):
    """Opens with the size of the batch, once for each size."""

    def __init__(self, open_for: Callable[[int], Opened]):
        self._open_for = open_for
        self.opened: dict[int, Opened] = {}

    def __getitem__(self, size: int) -> Opened:
        if size not in self.opened:
            self.opened[size] = self._open_for(size)
        return self.opened[size]


def with_batch(graph: bytes, size: int) -> bytes:
    """An exported graph with an open batch, for so many frames at once: only with fixed sizes can it be captured."""
    import onnx

    model = onnx.load_model_from_string(graph)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = size
    del model.graph.value_info[:]  # the open axis stands in them
    content: bytes = model.SerializeToString()
    return content
