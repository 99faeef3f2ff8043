"""An engine for the stand-in of CUDA's driver: it copies its input to its output, on the device."""

import ctypes

import numpy as np

from mde_runtime.engines.runner import Runner, Tensor

SIDE = 16
TENSORS = tuple(Tensor(name, (1, SIDE, SIDE), np.dtype(np.uint8), name == "frame") for name in ("frame", "depth"))


class CopyingEngine:
    """Its two functions are what a Runner takes."""

    def __init__(self):
        self._driver, self.addresses = ctypes.CDLL("libcuda.so.1"), {}

    def bind(self, name, pointer):
        self.addresses[name] = pointer
        return True

    def enqueue(self, stream):
        to, source = (ctypes.c_uint64(self.addresses[name]) for name in ("depth", "frame"))
        number = ctypes.c_size_t(SIDE * SIDE)
        return not self._driver.cuMemcpyDtoDAsync_v2(to, source, number, ctypes.c_void_p(stream))


def new_runner(cuda, *, is_mapped=False):
    engine = CopyingEngine()
    return Runner(cuda, TENSORS, engine.bind, engine.enqueue, is_mapped=is_mapped)


def frame_of(value):
    return np.full((1, SIDE, SIDE), value, np.uint8)
