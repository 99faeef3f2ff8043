"""Buffers, streams, events and graphs of a runner over the stand-in of CUDA's driver, also when a call fails."""

import concurrent.futures
import contextlib
import subprocess
import sys

import numpy as np
import pytest
from copying_engine import SIDE, frame_of, new_runner

from mde_runtime import MachineError
from mde_runtime.cuda import open_cuda

pytestmark = pytest.mark.gpu
OUT_OF_MEMORY, LAUNCH_FAILED = 2, 719


@pytest.fixture
def cuda():
    return open_cuda()


def life_of_a_runner(cuda):
    """Open, run, run in two steps, run on the caller's stream, close: every call that there is."""
    with contextlib.ExitStack() as after:
        runner = new_runner(cuda)
        after.callback(closed, runner)
        assert runner.run({"frame": frame_of(7)}, None)["depth"].max() == 7
        runner.start({"frame": frame_of(9)})
        assert runner.finish()["depth"].max() == 9
        with cuda.current():
            stream = cuda.new_stream()
            after.callback(in_context, cuda, cuda.free_stream, stream)
            pointers = {}
            for name in ("frame", "depth"):
                pointers[name] = cuda.new_device(SIDE * SIDE)
                after.callback(in_context, cuda, cuda.free_device, pointers[name])
        after.callback(in_context, cuda, cuda.wait, stream)
        runner.run_on(stream, pointers)


def closed(runner):
    try:
        runner.close()
    except MachineError:
        runner.close()  # goes on where the first could not even begin
        raise


def in_context(cuda, call, *arguments):
    with contextlib.ExitStack() as current:
        try:
            current.enter_context(cuda.current())
        except MachineError:
            current.enter_context(cuda.current())  # nothing can be given back without it
        call(*arguments)


@pytest.mark.parametrize("is_mapped", [False, True], ids=["copied", "mapped"])
def test_what_is_computed_is_what_was_fed(cuda, is_mapped):
    runner = new_runner(cuda, is_mapped=is_mapped)
    for value in (3, 200):
        assert (runner.run({"frame": frame_of(value)}, None)["depth"] == value).all()
    runner.close()


@pytest.mark.breaks_rules  # where the wait fails, memory goes under queued work
@pytest.mark.parametrize("code", [OUT_OF_MEMORY, LAUNCH_FAILED])
def test_whichever_call_fails_nothing_is_left(cuda, monkeypatch, stand_in, code):
    stand_in.read_settings()
    life_of_a_runner(cuda)
    num_calls, left = stand_in.num_calls(), stand_in.left()
    assert num_calls > 50
    for number in range(1, num_calls + 1):
        monkeypatch.setenv("FAKE_CUDA_FAIL", f"any:{number}:{code}")
        stand_in.read_settings()
        with contextlib.suppress(MachineError):  # a capture that fails is answered by eager launches
            life_of_a_runner(cuda)
        assert stand_in.num_injected() == 1
        monkeypatch.delenv("FAKE_CUDA_FAIL")
        stand_in.read_settings()
        assert stand_in.left() == left, f"left after call {number} of {num_calls} failed"
    life_of_a_runner(cuda)  # all works again


def test_runners_of_several_threads_do_not_disturb_each_other(cuda):
    def work(value):
        for _ in range(10):
            runner = new_runner(cuda)
            assert (runner.run({"frame": frame_of(value)}, None)["depth"] == value).all()
            runner.close()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_a_thousand_lives_leave_nothing(cuda, stand_in, cuda_mode):
    left = stand_in.left()
    for _ in range(1000 if cuda_mode == "eager" else 50):
        runner = new_runner(cuda)
        runner.run({"frame": np.zeros((1, SIDE, SIDE), np.uint8)}, None)
        runner.close()
    assert stand_in.left() == left


def test_how_a_thread_waits_is_left_to_whoever_chose_it_before():
    chosen = """
from cuda.bindings import driver
driver.cuInit(0)
driver.cuDevicePrimaryCtxSetFlags(0, driver.CUctx_flags.CU_CTX_SCHED_SPIN)
from mde_runtime.cuda import open_cuda
with open_cuda().current():
    print(driver.cuCtxGetFlags()[1] & 7 == driver.CUctx_flags.CU_CTX_SCHED_SPIN)"""
    said = subprocess.run([sys.executable, "-c", chosen], capture_output=True, text=True, check=True).stdout
    assert said == "True\n"


REASONS = [
    ({"FAKE_CUDA_DEVICES": "0"}, "finds no GPU"),
    ({"FAKE_CUDA_VERSION": "11040"}, "too old: it supports CUDA 11.4, and 12.0 is needed"),
    ({"LD_LIBRARY_PATH": ""}, "no NVIDIA driver"),
]


@pytest.mark.parametrize(("settings", "reason"), REASONS, ids=["no device", "old", "no driver"])
def test_no_driver_no_device_and_an_old_driver_are_told_apart(monkeypatch, settings, reason):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    asked = "from mde_runtime.cuda import open_cuda; open_cuda()"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False).stderr
    others = [other for _, other in REASONS if other != reason]
    assert reason in said.splitlines()[-1]
    assert not any(other in said.splitlines()[-1] for other in others)
