"""TensorRT-RTX by the stand-in: what it has beside TensorRT's names, its cache of kernels above all."""

# ruff: noqa: ARG002  the library's own names and signatures

import enum

import fake_tensorrt
from fake_tensorrt import *  # noqa: F403  as the library has them

__version__ = "1.7.1.116"


class BuilderFlag(enum.IntEnum):
    TF32 = 7
    VERSION_COMPATIBLE = 16
    REQUIRE_USER_ALLOCATION = 30


class ComputeCapability(enum.IntEnum):
    SM75 = 75
    SM80 = 80
    SM86 = 86
    SM89 = 89
    SM120 = 120


class IBuilderConfig(fake_tensorrt.IBuilderConfig):
    num_compute_capabilities = 0

    def set_compute_capability(self, capability, index):
        assert 0 <= index < self.num_compute_capabilities


class Builder(fake_tensorrt.Builder):
    def create_builder_config(self):
        return IBuilderConfig()


class IRuntimeCache:
    def __init__(self):
        self._content = b"kernels"

    def serialize(self):
        return self._content

    def deserialize(self, content):
        if fake_tensorrt._refuses("deserialize"):
            return False
        self._content = content
        return True


class IRuntimeConfig:
    def create_runtime_cache(self):
        return IRuntimeCache()

    def set_runtime_cache(self, cache):
        return not fake_tensorrt._refuses("set_runtime_cache")


class ICudaEngine(fake_tensorrt.ICudaEngine):
    def create_runtime_config(self):
        return IRuntimeConfig()

    def create_execution_context(self, config):
        return super().create_execution_context()


class Runtime(fake_tensorrt.Runtime):
    def deserialize_cuda_engine(self, content):
        engine = super().deserialize_cuda_engine(content)
        return engine and ICudaEngine(engine._head, engine._content)
