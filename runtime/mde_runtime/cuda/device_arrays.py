"""Arrays of other libraries (torch, cupy, numba) that lie on the GPU: where they are, checked, and never copied.

Read through `__cuda_array_interface__`, else through DLPack. Sources: numba's CUDA Array Interface (version 3) and
dlpack.h (version 0.8, whose layout later versions still hand out to who does not ask for more). In both, work that is
still queued on the array comes first: the interface names its stream, and with DLPack the array's library is told ours.
"""

import ctypes
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mde_runtime.errors import BadInputError

CUDA_DEVICES = (2, 13)  # kDLCUDA, kDLCUDAManaged
KINDS = {0: "i", 1: "u", 2: "f"}  # DLPack's type codes, and numpy's letters
LEGACY_STREAM = 1  # cuda.h, CU_STREAM_LEGACY: the default stream, as both protocols write it


class DeviceArray(NamedTuple):
    """An array on the GPU."""

    pointer: int
    stream: int | None  # on which work on it may still be queued; None: there is none to wait for


class _Found(NamedTuple):
    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]  # Any: whatever the other library has
    strides: tuple[int, ...] | None  # in bytes; None: C order
    is_read_only: bool = False  # DLPack does not say before its version 1
    stream: int | None = None  # DLPack's producers see to that themselves


def device_array(
    array: object, name: str, shape: tuple[int, ...], dtype: str, stream: int, *, is_written: bool = False
) -> DeviceArray:
    """Where an array is that must have this shape and dtype, in C order without gaps.

    stream: the CUDA stream of the run that uses it. is_written: the run writes to it. Raises BadInputError that names
    the array and what is wrong with it.
    """
    expected = f"{dtype} {shape} on the GPU"
    _must_be_on_first_gpu(array, name, expected)
    if (interface := _interface_of(array, name)) is not None:
        found = _by_interface(interface, name)
    elif hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__"):
        found = _by_dlpack(array.__dlpack__(stream=stream or LEGACY_STREAM))
    else:
        raise BadInputError(f"{name} is a {type(array).__name__}; it must be {expected}, e.g. a torch or cupy array")
    if found.shape != shape or found.dtype != np.dtype(dtype):
        raise BadInputError(f"{name} is {found.dtype} {found.shape}; it must be {expected}")
    if found.strides not in (None, _c_strides(shape, found.dtype.itemsize)):
        raise BadInputError(f"{name} is not contiguous in memory; it must be {expected}")
    if is_written and found.is_read_only:
        raise BadInputError(f"{name} is read-only; it must be {expected} that may be written to")
    return DeviceArray(found.pointer, found.stream)


def _must_be_on_first_gpu(array: object, name: str, expected: str) -> None:
    """The estimator is on CUDA's first device, and an address of another would be read there."""
    if (device_of := getattr(array, "__dlpack_device__", None)) is None:
        return
    kind, index = device_of()
    if kind not in CUDA_DEVICES:
        raise BadInputError(f"{name} is not on a GPU (DLPack device {int(kind)}); it must be {expected}")
    if index:
        raise BadInputError(
            f"{name} is on GPU {index}, and the estimator on GPU 0; it must be {expected}, or put that GPU first "
            "with CUDA_VISIBLE_DEVICES"
        )


def _interface_of(array: object, name: str) -> Mapping[str, Any] | None:  # Any: another library's dict
    try:
        return getattr(array, "__cuda_array_interface__", None)
    except RuntimeError as error:  # torch's answer for a tensor that requires its gradient
        raise BadInputError(f"{name} cannot be read ({error}); pass its detach()") from error


def _by_interface(interface: Mapping[str, Any], name: str) -> _Found:  # Any: another library's dict
    pointer, is_read_only = interface["data"]
    dtype = np.dtype(interface["typestr"])
    stream = interface.get("stream")
    if stream is not None and (not isinstance(stream, int) or stream < LEGACY_STREAM):
        raise BadInputError(
            f"{name} names {stream!r:.20} as its stream, which the CUDA Array Interface does not allow; its library "
            "must give 1 for the default stream, a stream's own number, or None"
        )
    strides = interface.get("strides")
    return _Found(pointer, tuple(interface["shape"]), dtype, strides, bool(is_read_only), stream)


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
