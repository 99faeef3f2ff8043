"""A frame's time on the device by CUDA's own events, over the stand-in of the driver."""

import ctypes
import faulthandler
import time

import pytest

from mde_bench.timing.device_times import DriverEvents, device_times
from mde_runtime.contract import SourceFrame
from mde_runtime.cuda import open_cuda
from mde_runtime.errors import MachineError

pytestmark = pytest.mark.gpu
SOURCE = SourceFrame(height_px=8, width_px=8, colour="rgb", dtype="uint8", layout="NHWC")
LAUNCH_S, NUM_KERNELS = 0.004, 5
DEADLOCK_S = 120


class SlowToLaunch:
    """A session of copies on the device, each of which the host takes a while to launch."""

    max_batch, device_batch = 1, 1
    executor, device, arithmetic = "made for tests", "none", {"fp32": "fp32"}

    def __init__(self):
        self._driver = ctypes.CDLL("libcuda.so.1")

    def run_on(self, stream, pointers):
        to, source = (ctypes.c_uint64(pointers[name]) for name in ("depth_m", "frame"))
        for _ in range(NUM_KERNELS):
            time.sleep(LAUNCH_S)
            assert not self._driver.cuMemcpyDtoDAsync_v2(to, source, ctypes.c_size_t(64), ctypes.c_void_p(stream))


def test_the_device_begins_when_a_whole_frame_is_queued(cuda_mode):
    if cuda_mode == "eager":  # a queue that takes nothing more before it has worked off what it has
        with pytest.raises(MachineError, match="did not take a whole frame within 1 s; see trtexec"):
            device_times(SlowToLaunch(), SOURCE, 1, open_cuda(), DriverEvents())
    else:
        found = device_times(SlowToLaunch(), SOURCE, 3, open_cuda(), DriverEvents())
        assert 0 <= found.compute_s < LAUNCH_S  # launching takes five times that
        assert found.upload_s is not None


def test_a_binding_that_waits_with_pythons_lock_holds_nothing_up(cuda_mode, monkeypatch):
    if cuda_mode == "eager":
        return  # as above: it takes no whole frame
    cuda, locking = open_cuda(), ctypes.PyDLL("libcuda.so.1")  # PyDLL keeps the lock, as cuda-bindings 12.8 does
    monkeypatch.setattr(cuda, "wait", lambda stream: locking.cuStreamSynchronize(ctypes.c_void_p(stream)))
    faulthandler.dump_traceback_later(DEADLOCK_S, exit=True)  # no other time limit ends a process without the lock
    try:
        assert device_times(SlowToLaunch(), SOURCE, 3, cuda, DriverEvents()).compute_s < LAUNCH_S
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.mark.any_mode
def test_on_a_shared_memory_nothing_is_copied(monkeypatch, stand_in):
    monkeypatch.setenv("FAKE_CUDA_CHIP", "orin")
    stand_in.read_settings()
    found = device_times(SlowToLaunch(), SOURCE, 1, open_cuda(), DriverEvents())
    assert (found.upload_s, found.download_s) == (None, None)
