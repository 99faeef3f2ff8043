"""Nodes written one after another around a graph, each with a name that says which stage it belongs to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir import tape


class Ops:
    """A row of new nodes. Names begin with `prefix`, so a reader of the graph sees where a stage ends."""

    def __init__(self, prefix: str):
        self._prefix, self._tape = prefix, tape.Tape()

    def __call__(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        attributes: Mapping[str, Any] | None = None,  # Any: what an ONNX attribute may be
    ) -> ir.Value:
        """Add a node of one output, which carries the node's name."""
        full = f"{self._prefix}/{name}"
        return self._tape.op(op_type, inputs, attributes, name=full, output=ir.Value(name=full))

    def constant(self, array: npt.NDArray[Any] | np.generic, name: str) -> ir.Value:
        """Add an initializer."""
        full = f"{self._prefix}/{name}"
        return self._tape.initializer(ir.tensor(np.ascontiguousarray(array), name=full), full)

    def int64s(self, values: Sequence[int], name: str) -> ir.Value:
        """Add an initializer of whole numbers: axes, sizes, pads."""
        return self.constant(np.array(values, np.int64), name)

    def floats(self, values: float | Sequence[float], name: str) -> ir.Value:
        """Add a float32 initializer."""
        return self.constant(np.array(values, np.float32), name)

    @property
    def nodes(self) -> Sequence[ir.Node]:
        """What was added, in order."""
        return self._tape.nodes

    def register_initializers(self, graph: ir.Graph) -> None:
        """Hand the initializers to the graph that the nodes go to."""
        for value in self._tape.initializers:
            graph.register_initializer(value)
