"""The tests here need the stand-ins of CUDA's driver and of TensorRT: they are collected only over these."""

import importlib.util

import pytest


def pytest_ignore_collect(collection_path, config: pytest.Config):
    """Leave the tests out of every other run."""
    is_over = config.pluginmanager.hasplugin("counted_cuda") and importlib.util.find_spec("fake_tensorrt")
    if collection_path.name.startswith("test_") and not is_over:
        return True
    return None


@pytest.fixture
def refuse(monkeypatch):
    """A function that makes a call of the library fail, as it does itself: with None, False or -1."""
    import fake_tensorrt

    def set_to(name):
        fake_tensorrt._num_asked.clear()
        monkeypatch.setenv("FAKE_TRT_REFUSE", name)

    return set_to
