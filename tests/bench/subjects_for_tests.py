"""Subjects that behave as a test wants them to, opened by name in a worker."""

import dataclasses
import os
import signal
import sys
import time

import numpy as np

from mde_bench.timing.candidates import Answer
from mde_bench.timing.device_times import DeviceTimes
from mde_runtime.errors import MachineError


class Subject:
    """Answers a steady ramp after so much computing, until a fault strikes on call number `fault_at`."""

    executor = "made for tests"
    arithmetic = "fp32"

    def __init__(self, fault="none", fault_at=0, delay_us=200):
        self._fault, self._fault_at, self._delay_s, self._num_calls = fault, fault_at, delay_us / 1e6, 0

    def answer(self, frame):
        start, enough = time.perf_counter_ns(), time.process_time_ns() + self._delay_s * 1e9
        while time.process_time_ns() < enough:  # computes for so long, however busy the machine is
            pass
        depth_m = frame.mean(axis=-1).astype(np.float32) * np.float32(20 / 255)
        if self._num_calls >= self._fault_at:
            depth_m = FAULTS[self._fault](depth_m)
        self._num_calls += 1
        return Answer(depth_m, 0, time.perf_counter_ns() - start)

    def answer_batch(self, frames):
        return np.stack([self.answer(frame).depth_m for frame in frames])

    def close(self):
        pass


def _crash(_):
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def _hang(_):
    time.sleep(600)


def _raise(_):
    raise RuntimeError("the kernel found no\nworkspace")


FAULTS = {
    "none": lambda depth_m: depth_m,
    "crash": _crash,
    "hang": _hang,
    "raise": _raise,
    "nan": lambda depth_m: np.where(depth_m > 10, np.nan, depth_m).astype(np.float32),
    "wrong_shape": lambda depth_m: depth_m[:-1],
    "wrong_dtype": lambda depth_m: depth_m.astype(np.float64),
    "wrong_depth": lambda depth_m: depth_m + np.float32(0.5),
}


def steady(**options):
    return Subject(**options)


def exits_when_opened():
    os._exit(7)


def absent():
    raise MachineError("this machine has no abacus; buy one")


def talks(**options):
    sys.stdout.write("a library's banner")
    sys.stdout.flush()
    return Subject(**options)


def dozes(delay_us):
    return Dozing(delay_us / 1e6)


class Dozing(Subject):
    """Waits as `Subject` does, but leaves the processor to others meanwhile."""

    def __init__(self, delay_s):
        super().__init__(delay_us=0)
        self._nap_s = delay_s

    def answer(self, frame):
        time.sleep(self._nap_s)
        return super().answer(frame)


def on_a_gpu():
    return OnGpu()


class OnGpu(Subject):
    """Says how long its device takes."""

    def device_times(self, num_calls):
        return DeviceTimes(num_calls, 0.001, 0.0001, 0.0002, None)


def on_a_shared_memory():
    return OnSharedMemory()


class OnSharedMemory(Subject):
    """Copies nothing."""

    def device_times(self, num_calls):
        return DeviceTimes(num_calls, 0.001, None, None, None)


def fails_on_its_device():
    return FailsOnItsDevice()


class FailsOnItsDevice(Subject):
    """Cannot be timed there; all else goes on."""

    def device_times(self, num_calls):  # noqa: ARG002  the seam's signature
        raise RuntimeError("the queue is full")


def counts():
    return Counting()


class Counting(Subject):
    """Gives the number of the call in place of its backend's time."""

    def answer(self, frame):
        return dataclasses.replace(super().answer(frame), backend_ns=self._num_calls)


def dies_on_its_device():
    return DiesOnItsDevice()


class DiesOnItsDevice(Subject):
    """Ends its process when it is asked for its device's times: after it was measured."""

    def device_times(self, num_calls):  # noqa: ARG002  the seam's signature
        os._exit(7)
