"""The stand-in itself: the rules of CUDA that it keeps, and that it counts who breaks them."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest

from mde_runtime import MachineError
from mde_runtime.cuda import open_cuda

pytestmark = pytest.mark.gpu


@pytest.fixture
def cuda():
    return open_cuda()


@pytest.mark.breaks_rules
def test_a_call_without_a_context_is_refused_and_counted(cuda, stand_in):
    before = stand_in.wrong()["calls_without_context"]
    with pytest.raises(MachineError, match="invalid device context"):
        cuda.new_stream()
    assert stand_in.wrong()["calls_without_context"] == before + 1


@pytest.mark.breaks_rules
@pytest.mark.parametrize("kind", ["stream", "event", "device"])
def test_a_thing_that_is_given_back_twice_is_refused_and_counted(cuda, stand_in, kind):
    make = {"stream": cuda.new_stream, "event": cuda.new_event, "device": lambda: cuda.new_device(64)}[kind]
    free = getattr(cuda, f"free_{kind}")
    with cuda.current():
        thing = make()
        free(thing)
        before = sum(stand_in.wrong().values())
        with pytest.raises(MachineError):
            free(thing)
    assert sum(stand_in.wrong().values()) == before + 1


@pytest.mark.breaks_rules
def test_memory_that_is_given_back_under_queued_work_is_counted(cuda, stand_in, cuda_mode):
    with cuda.current():
        stream, host, pointer = cuda.new_stream(), cuda.new_host((64,), np.uint8, is_mapped=False), cuda.new_device(64)
        before = stand_in.wrong()["frees_while_busy"]
        cuda.upload(pointer, host, stream)
        cuda.free_device(pointer)
        if cuda_mode == "lazy":  # in the others the copy may be done by now
            assert stand_in.wrong()["frees_while_busy"] == before + 1
        cuda.free_host(host)
        cuda.free_stream(stream)


def test_a_stream_waits_for_the_mark_as_it_was_when_it_was_told_to(cuda):
    with cuda.current():
        first, second, event = cuda.new_stream(), cuda.new_stream(), cuda.new_event()
        cuda.record(event, first)
        cuda.order_after(second, event)
        own = cuda.new_event()
        cuda.record(own, second)
        cuda.order_after(first, own)
        cuda.record(event, first)  # behind work that waits for the second stream: no circle
        cuda.wait(second)
        cuda.wait(first)
        for mark in (event, own):
            cuda.free_event(mark)
        for stream in (first, second):
            cuda.free_stream(stream)


def test_a_mark_may_be_given_back_while_streams_still_wait_for_it(cuda):
    with cuda.current():
        first, second, event = cuda.new_stream(), cuda.new_stream(), cuda.new_event()
        cuda.record(event, first)
        cuda.order_after(second, event)
        cuda.free_event(event)
        cuda.wait(second)
        for stream in (first, second):
            cuda.free_stream(stream)


def test_the_device_reads_late_what_the_host_changes_too_early(cuda, cuda_mode):
    with cuda.current():
        stream, pointer = cuda.new_stream(), cuda.new_device(8)
        sent, received = (cuda.new_host((8,), np.uint8, is_mapped=False) for _ in range(2))
        sent[:] = 1
        cuda.upload(pointer, sent, stream)
        sent[:] = 2  # nobody waited
        cuda.download(received, pointer, stream)
        cuda.wait(stream)
        if cuda_mode != "threads":  # there either may be first
            assert received[0] == (1 if cuda_mode == "eager" else 2)
        cuda.free_device(pointer)
        for host in (sent, received):
            cuda.free_host(host)
        cuda.free_stream(stream)


@pytest.mark.breaks_rules
def test_the_host_cannot_touch_the_devices_memory(cuda):
    with cuda.current():
        pointer = cuda.new_device(8)
        touch = f"import ctypes; ctypes.c_uint8.from_address({pointer}).value"
        assert subprocess.run([sys.executable, "-c", touch], check=False).returncode < 0
        assert not ctypes.CDLL("libcuda.so.1").fake_cuda_host_address(ctypes.c_uint64(pointer + 64), ctypes.c_size_t(8))
        cuda.free_device(pointer)
