"""ONNX Runtime with inputs and outputs at fixed places on the device, as a CUDA graph needs them.

Not run on a GPU by this project yet; its logic runs in the tests with the CPU as the device.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from mde_runtime.backends import Arrays
from mde_runtime.errors import BadInputError

DTYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(int32)": np.int32}


def can_be_bound(session: ort.InferenceSession) -> bool:
    """Whether every input and output has one size, and a type that an exported graph has."""
    tensors = (*session.get_inputs(), *session.get_outputs())
    return all(tensor.type in DTYPES and all(isinstance(side, int) for side in tensor.shape) for tensor in tensors)


class Binding:
    """The arrays of one session on its device, made once."""

    def __init__(self, session: ort.InferenceSession, device: str):
        self._session, self._binding = session, session.io_binding()
        self._inputs = {tensor.name: _value(tensor, device) for tensor in session.get_inputs()}
        self._outputs = {tensor.name: _value(tensor, device) for tensor in session.get_outputs()}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None) -> Arrays:
        """Every output of the graph, by name."""
        if set(feeds) != set(self._inputs):
            raise BadInputError(
                f"cannot run the graph: it takes {', '.join(self._inputs)}, not {', '.join(feeds)}; pass these"
            )
        for name, array in feeds.items():
            value = self._inputs[name]
            shape, dtype = tuple(value.shape()), np.dtype(DTYPES[value.data_type()])
            if array.shape != shape or array.dtype != dtype:
                raise BadInputError(
                    f"cannot run the graph: {name} is {array.dtype} {array.shape}, not {dtype} {shape}; pass that"
                )
            value.update_inplace(np.ascontiguousarray(array))
        self._session.run_with_iobinding(self._binding)
        if out is None:
            return {name: value.numpy().copy() for name, value in self._outputs.items()}
        for name, array in out.items():
            np.copyto(array, self._outputs[name].numpy())
        return dict(out)


def _value(tensor: ort.NodeArg, device: str) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_shape_and_type(tensor.shape, DTYPES[tensor.type], device, 0)
