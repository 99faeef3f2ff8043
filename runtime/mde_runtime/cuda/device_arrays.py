"""Arrays of other libraries (torch, cupy, numba) that lie on the GPU: where they are, checked, and never copied.

Read through `__cuda_array_interface__`, else through DLPack. Sources: numba's CUDA Array Interface (version 3) and
dlpack.h (version 0.8, whose layout later versions still hand out to who does not ask for more).
"""

import ctypes
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mde_runtime.errors import BadInputError

CUDA_DEVICES = (2, 13)  # kDLCUDA, kDLCUDAManaged
KINDS = {0: "i", 1: "u", 2: "f"}  # DLPack's type codes, and numpy's letters


class _Found(NamedTuple):
    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]  # Any: whatever the other library has
    strides: tuple[int, ...] | None  # in bytes; None: C order


def pointer_of(array: object, name: str, shape: tuple[int, ...], dtype: str) -> int:
    """The device address of an array that must have this shape and dtype, in C order without gaps.

    Raises BadInputError that names the array and what is wrong with it.
    """
    expected = f"{dtype} {shape} on the GPU"
    if (interface := getattr(array, "__cuda_array_interface__", None)) is not None:
        found = _by_interface(interface)
    elif hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__"):
        device, _ = array.__dlpack_device__()
        if device not in CUDA_DEVICES:
            raise BadInputError(f"{name} is not on a GPU (DLPack device {device}); it has to be {expected}")
        found = _by_dlpack(array.__dlpack__())
    else:
        raise BadInputError(f"{name} is a {type(array).__name__}; it has to be {expected}, e.g. a torch or cupy array")
    if found.shape != shape or found.dtype != np.dtype(dtype):
        raise BadInputError(f"{name} is {found.dtype} {found.shape}; it has to be {expected}")
    if found.strides not in (None, _c_strides(shape, found.dtype.itemsize)):
        raise BadInputError(f"{name} is not contiguous in memory; it has to be {expected}")
    return found.pointer


def _by_interface(interface: Mapping[str, Any]) -> _Found:  # Any: another library's dict
    pointer, _ = interface["data"]
    return _Found(pointer, tuple(interface["shape"]), np.dtype(interface["typestr"]), interface.get("strides"))


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


def _by_dlpack(capsule: object) -> _Found:
    """Look into a DLPack capsule without taking it: it frees itself, and the array is its caller's."""
    read = ctypes.pythonapi.PyCapsule_GetPointer
    read.restype, read.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    tensor = _DLTensor.from_address(read(capsule, b"dltensor"))
    size = tensor.bits // 8
    strides = tuple(tensor.strides[axis] * size for axis in range(tensor.ndim)) if tensor.strides else None
    dtype = np.dtype(f"{KINDS.get(tensor.code, 'V')}{size}")
    shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
    return _Found((tensor.data or 0) + tensor.byte_offset, shape, dtype, strides)


def _c_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize]
    for side in reversed(shape[1:]):
        strides.insert(0, strides[0] * side)
    return tuple(strides)
