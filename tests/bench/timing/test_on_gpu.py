"""Questions to a GPU, answered without one by a trtexec of our own and by CUDA over numpy."""

import contextlib
import dataclasses
import json
import types
from pathlib import Path

import numpy as np
import pytest

from mde_bench.accuracy.frames import put_frames
from mde_bench.machine.conditions import Moment, conditions
from mde_bench.machine.nvidia import gpu_spec, open_driver
from mde_bench.machine.nvml import GpuMoment, energy_j, gpu_moment, memory_bytes_of
from mde_bench.report.table import on_gpu_of
from mde_bench.result.gate import Gate, Limit, checks
from mde_bench.run import carry_out
from mde_bench.timing.candidates import OnDevice
from mde_bench.timing.device_times import DriverEvents, device_times
from mde_bench.timing.trtexec import find_trtexec, read_times, time_engine
from mde_bench.timing.worker import Worker
from mde_runtime.contract import SourceFrame
from mde_runtime.cuda import open_cuda
from mde_runtime.errors import MachineError

SOURCE = SourceFrame(height_px=2, width_px=4, colour="rgb", dtype="uint8", layout="NHWC")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A function that puts a shell script of a name on the PATH, before all others."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def put(name, script):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    return put


@pytest.mark.parametrize(("is_throttled", "has_throttled"), [(True, True), (False, False), (None, False)])
def test_a_gpu_that_slowed_down_spoils_the_measurement(is_throttled, has_throttled):
    before = Moment(0.1, 2e9, 40.0, 0, GpuMoment(2e9, 60.0, is_throttled=False))
    after = dataclasses.replace(before, gpu=GpuMoment(1e9, 95.0, is_throttled))
    assert conditions(1, before, after).has_throttled is has_throttled


def test_without_a_gpu_nothing_is_told_of_it():
    assert (gpu_moment(), energy_j(), memory_bytes_of(1)) == (None, None, None)


def test_without_a_driver_there_is_no_gpu():
    assert gpu_spec("libnobody.so.1") is None
    with pytest.raises(MachineError, match=r"driver is not installed\); run this where there is one"):
        open_driver("libnobody.so.1")


@dataclasses.dataclass
class Clock:
    """Of the host and of the device, each moved on by what a test says to take time there."""

    host_s: float = 0.0
    device_s: float = 0.0
    hold: types.SimpleNamespace | None = None  # of a stream: when it goes on


class ScriptedEvents:
    """Marks by the device's clock."""

    def __init__(self, cuda, clock, *, can_hold=True):
        self.times, self._cuda, self._clock, self._can_hold = {}, cuda, clock, can_hold

    def new(self):
        self.times[len(self.times)] = None
        return len(self.times) - 1

    def record(self, event, stream):
        self._cuda.queue(stream, lambda: self.times.__setitem__(event, self._clock.device_s), takes_s=0)

    def seconds_between(self, first, second):
        return self.times[second] - self.times[first]

    def free(self, event):
        del self.times[event]

    def wait(self, stream):
        self._cuda.wait(stream)

    @contextlib.contextmanager
    def held(self, stream):  # noqa: ARG002  the driver's own signature
        hold = self._clock.hold = types.SimpleNamespace(at_s=None) if self._can_hold else None
        yield
        if hold:
            hold.at_s, self._clock.hold = self._clock.host_s, None


class FiveKernels:
    """A session on a stream: five kernels of 1 ms, each of which takes the host 2 ms to launch."""

    executor, device, arithmetic = "made for tests", "none", {"fp32": "fp32"}
    engine_sha256 = "e" * 64

    def __init__(self, batch, cuda, clock):
        self.max_batch = self.device_batch = batch
        self.seen, self._cuda, self._clock = set(), cuda, clock

    def run_on(self, stream, pointers):
        self.seen.add((stream, tuple(sorted(pointers))))
        for _ in range(5):
            self._clock.host_s += 0.002
            self._cuda.queue(stream, lambda: None, takes_s=0.001)

    def run(self, feeds, out=None):
        raise NotImplementedError

    def close(self):
        pass

    def share_in(self, arithmetic, without):
        raise NotImplementedError


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cuda(monkeypatch, clock):
    """CUDA over numpy, whose every copy takes a millisecond."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "runtime"))
    from numpy_cuda import NumpyCuda

    class TimedCuda(NumpyCuda):
        def queue(self, stream, thunk, takes_s=0.001):
            begin = clock.hold or types.SimpleNamespace(at_s=clock.host_s)

            def step():
                clock.device_s = max(clock.device_s, begin.at_s) + takes_s
                return thunk()

            super().queue(stream, step)

    return TimedCuda()


@pytest.mark.parametrize("num_frames", [1, 4])
def test_copies_and_computing_are_timed_apart_by_the_devices_clock(cuda, clock, num_frames):
    session, events = FiveKernels(num_frames, cuda, clock), ScriptedEvents(cuda, clock)
    found = device_times(session, SOURCE, 3, cuda, events)
    assert found.compute_s * num_frames == pytest.approx(0.005)
    assert found.upload_s * num_frames == pytest.approx(0.001)
    assert found.download_s * num_frames == pytest.approx(0.002)  # depth_m and num_nonfinite
    assert found.copies_s == found.upload_s + found.download_s
    assert found.engine_sha256 == "e" * 64
    assert cuda.num_copies == 3 * 4  # up: frame; down: depth_m and num_nonfinite; a first call that warms up
    (seen,) = session.seen
    assert seen[1] == ("depth_m", "frame", "num_nonfinite")
    assert (cuda.device, cuda.host, cuda.streams, events.times) == ({}, {}, set(), {})


def test_a_stream_that_is_not_held_has_the_hosts_launches_in_its_times(cuda, clock):  # so it must be
    found = device_times(FiveKernels(1, cuda, clock), SOURCE, 3, cuda, ScriptedEvents(cuda, clock, can_hold=False))
    assert found.compute_s > 0.006


def test_a_gpu_that_shares_the_cpus_memory_copies_nothing_and_has_no_time_of_it(cuda, clock):
    cuda.gpu = lambda: dataclasses.replace(type(cuda)().gpu(), is_integrated=True)
    found = device_times(FiveKernels(1, cuda, clock), SOURCE, 3, cuda, ScriptedEvents(cuda, clock))
    assert cuda.num_copies == 0
    assert cuda.host == {}
    assert (found.upload_s, found.download_s, found.copies_s) == (None, None, 0.0)


SAID = """&&&& RUNNING TensorRT.trtexec [TensorRT v101300] [b9] # trtexec --loadEngine=plan.engine
[11/21/2026-15:00:00] [I] Inference Streams: 1
[11/21/2026-15:00:00] [I] Data transfers: Enabled
[11/21/2026-15:00:00] [I] Spin-wait: Disabled
[11/21/2026-15:00:00] [I] CUDA Graph: Disabled
"""
TIMES = json.dumps([{"computeMs": ms, "latencyMs": ms + 0.5, "h2dMs": 0.3, "d2hMs": 0.2} for ms in (1.0, 2.0, 3.0)])


def test_trtexecs_figures_stand_with_the_flags_that_were_in_effect():
    found = read_times(TIMES, SAID)
    assert (found.version, found.num_samples, found.compute_p50_s, found.latency_p50_s) == ("101300", 3, 2e-3, 2.5e-3)
    assert found.flags == {
        "Data transfers": "Enabled",
        "Spin-wait": "Disabled",
        "CUDA Graph": "Disabled",
        "Inference Streams": "1",
    }
    assert found.compute_interval_s.low <= found.compute_p50_s <= found.compute_interval_s.high
    assert "CUDA Graph Disabled" in found.in_words


def test_trtexec_is_given_the_very_engine(program, tmp_path):
    (tmp_path / "times").write_text(TIMES)
    (tmp_path / "said").write_text(SAID)
    program(
        "trtexec",
        f"""for a in "$@"; do case $a in
        --loadEngine=*) cp "${{a#*=}}" {tmp_path}/given;; --exportTimes=*) cp {tmp_path}/times "${{a#*=}}";; esac; done
        cat {tmp_path}/said""",
    )
    assert time_engine(find_trtexec(), b"an engine").version == "101300"
    assert (tmp_path / "given").read_bytes() == b"an engine"


def test_a_trtexec_that_fails_is_told_by_its_last_word(program):
    program("trtexec", "echo 'started' >&2; echo 'Error: wrong version' >&2; exit 3")
    with pytest.raises(MachineError, match="exited with 3: Error: wrong version"):
        time_engine(find_trtexec(), b"an engine")


def test_a_candidate_on_a_gpu_has_its_times_there_in_the_result(tiny_plan, badly):
    on_gpu = dataclasses.replace(badly("on_a_gpu"), backend="onnxruntime-cuda", name="gpu")
    result = carry_out(tiny_plan(badly("steady"), on_gpu)).result
    host, gpu = result.rows
    assert host.speed.device is None
    assert gpu.speed.device.times.compute_s == 0.001
    assert gpu.speed.device.trtexec is None
    limits = [Limit("*", "gpu_compute_ms", 0.9), Limit("gpu", "gpu_memory_mib", 100)]
    assert [check.breach for check in checks(result, Gate(None, tuple(limits))) if check.what.startswith("gpu_")] == [
        "gpu_compute_ms was not measured",
        "gpu_compute_ms is 1, over 0.9",
        "gpu_memory_mib was not measured",
    ]
    assert "gpu, on the GPU: upload 0.1, compute 1, download 0.2 ms" in on_gpu_of(result)


def test_a_measured_candidate_keeps_its_figures_where_its_device_cannot_be_timed(tiny_plan, badly):
    subjects = [("on_a_shared_memory", None), ("fails_on_its_device", "the queue is full")]
    for behaviour, reason in subjects:
        gpu = dataclasses.replace(badly(behaviour), backend="onnxruntime-cuda", name="gpu")
        (_, row), said = (result := carry_out(tiny_plan(badly("steady"), gpu)).result).rows, on_gpu_of(result)
        assert row.failure is None
        assert row.speed.device.times_absent_because == reason
        assert said[0] == f"gpu, on the GPU: {'times not told: the queue is full' if reason else 'compute 1 ms'}"


def test_a_gpu_is_called_until_its_clock_is_up_before_it_is_timed(badly, tmp_path):
    put_frames(tmp_path, np.zeros((1, 24, 32, 3), np.uint8))
    num_calls = {}
    for backend in ("onnxruntime-cpu", "onnxruntime-cuda"):
        candidate = dataclasses.replace(badly("counts"), backend=backend)
        with Worker(candidate, tmp_path) as worker:
            worker.opened()
            first, again = worker.block(0.0, 1), worker.block(0.0, 1, follows_on=True)
            num_calls[backend] = [int(call.backend_ns) for (call,) in (first, again)]  # which call of all it was
    assert num_calls["onnxruntime-cpu"] == [2, 4]  # one before each
    first, again = num_calls["onnxruntime-cuda"]
    assert first > 10  # 0.2 s of calls of 0.2 ms, however slow this machine is
    assert again == first + 2  # no pause was before it


def test_the_estimator_can_be_asked_and_a_plain_subject_need_not_know(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from subjects_for_tests import on_a_gpu, steady

    assert isinstance(on_a_gpu(), OnDevice)
    assert not isinstance(steady(), OnDevice)
    assert np.isfinite(on_a_gpu().device_times(1).compute_s)


@pytest.fixture
def real_cuda():
    try:
        return open_cuda()
    except MachineError as error:
        pytest.skip(str(error))


@pytest.mark.gpu
def test_a_real_gpus_clock_and_datasheet_are_known(real_cuda):
    found = gpu_spec()
    assert found is not None
    assert found.num_multiprocessors == real_cuda.gpu().num_multiprocessors
    assert found.clock_hz > 1e8
    assert gpu_moment() is None or gpu_moment().temperature_c is None or 0 < gpu_moment().temperature_c < 120


@pytest.mark.gpu
def test_a_real_gpus_events_tell_a_long_copy_from_none(real_cuda):
    cuda, events = real_cuda, DriverEvents()
    with cuda.current():
        stream, num_bytes = cuda.new_stream(), 64 << 20
        host, pointer = cuda.new_host((num_bytes,), np.uint8, is_mapped=False), cuda.new_device(num_bytes)
        marks = [events.new() for _ in range(3)]
        events.record(marks[0], stream)
        events.record(marks[1], stream)
        cuda.upload(pointer, host, stream)
        events.record(marks[2], stream)
        cuda.wait(stream)
        nothing_s, copy_s = events.seconds_between(*marks[:2]), events.seconds_between(*marks[1:])
        for mark in marks:
            events.free(mark)
        cuda.free_device(pointer)
        cuda.free_host(host)
        cuda.free_stream(stream)
    assert nothing_s < copy_s
    assert num_bytes / copy_s < 1e12  # no bus between host and device carries a terabyte a second
