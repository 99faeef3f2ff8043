"""ONNX Runtime on CUDA where CUDA does not start: its own reason is ours, and nothing of it reaches the terminal."""

import os
import sys

import onnxruntime
import pytest

from mde_runtime import MachineError
from mde_runtime.backends import open_session

MISSING = "libcublasLt.so.13: cannot open shared object file: No such file or directory"
LOADING = "Failed to load library libonnxruntime_providers_cuda.so with error: "
HINT = "Require cuDNN 9.* and CUDA 13.*, and the latest MSVC runtime."


class OnTheCpu:
    """A session that took the CPU instead, as the library does when CUDA does not start."""

    said, num_opened = "", 0

    def __init__(self, *_, **__):
        type(self).num_opened += 1
        os.write(2, f"\x1b[1;31m2026-11-29 [E:onnxruntime:Default, bridge.cc:2167] {self.said}\x1b[m\n".encode())

    def get_providers(self):
        return ["CPUExecutionProvider"]


@pytest.fixture
def cuda(monkeypatch):
    """The library, as if it were built for CUDA; its sessions are of the class that a test gives."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(
        onnxruntime, "preload_dlls", lambda: sys.stdout.write("no cuDNN in the environment\n"), raising=False
    )
    return lambda session: monkeypatch.setattr(onnxruntime, "InferenceSession", session)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (f"{LOADING}{MISSING}", MISSING),
        ("CUDA failure 35: CUDA driver version is insufficient", "CUDA failure 35: CUDA driver version is"),
        (f"Failed to create CUDAExecutionProvider. {HINT}", HINT),
        ("something else", "no cuDNN in the environment"),
    ],
)
def test_the_refusal_names_the_cause_in_one_line_and_nothing_else_is_printed(cuda, tiny_graph, capfd, said, cause):
    cuda(type("Fallen", (OnTheCpu,), {"said": said}))
    with pytest.raises(MachineError) as caught:
        open_session("onnxruntime-cuda", tiny_graph())
    assert f"cannot start it here ({cause}" in str(caught.value)
    assert "gpu]" in str(caught.value)
    assert not {"\n", "\x1b"} & set(str(caught.value))
    assert capfd.readouterr() == ("", "")


def test_a_cuda_that_does_not_start_is_not_tried_twice(cuda, tiny_graph):
    fallen = type("Fallen", (OnTheCpu,), {})
    cuda(fallen)
    with pytest.raises(MachineError):
        open_session("onnxruntime-cuda", tiny_graph())
    assert fallen.num_opened == 1


def test_an_option_that_an_older_version_does_not_know_is_not_the_graphs_fault(cuda, tiny_graph):
    def refuse(*_, **__):
        raise onnxruntime.capi.onnxruntime_pybind11_state.Fail('Unknown provider option: "use_tf32".')

    cuda(refuse)
    with pytest.raises(MachineError, match=r"too old for this program: Unknown provider option.*; update onnxruntime"):
        open_session("onnxruntime-cuda", tiny_graph())
