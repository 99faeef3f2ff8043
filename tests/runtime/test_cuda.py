"""The two drivers of CUDA: how they fail here, and their contract where there is a GPU."""

import importlib
import importlib.util
import re
import sys

import numpy as np
import pytest

from mde_runtime import MachineError, installation
from mde_runtime.cuda import DRIVERS, open_cuda


@pytest.fixture
def no_drivers(monkeypatch):
    """A machine where neither library is installed."""
    for name in ("cuda", "cuda.bindings", "pycuda", "pycuda.driver", *DRIVERS.values()):
        monkeypatch.setitem(sys.modules, name, None)
    for module in DRIVERS.values():
        monkeypatch.delitem(sys.modules, module)


@pytest.mark.usefixtures("no_drivers")
def test_without_any_driver_both_remedies_are_named():
    with pytest.raises(MachineError) as caught:
        open_cuda()
    assert installation.adding("cuda13") in str(caught.value)
    assert installation.adding("pycuda") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(params=DRIVERS)
def cuda(request):
    library = request.param.replace("cuda-bindings", "cuda")
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{request.param} is not installed")
    opened = importlib.import_module(DRIVERS[request.param]).open()  # no skip: a driver that does not open is broken
    with opened.current():
        yield opened


@pytest.mark.gpu
class TestContract:
    """What both drivers do alike. Not run on a GPU by this project yet."""

    def test_the_gpu_is_described(self, cuda):
        gpu = cuda.gpu()
        assert gpu.name
        assert gpu.num_multiprocessors > 0
        assert gpu.memory_bytes > 1 << 30
        assert re.fullmatch(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.0", cuda.pci_bus_id())

    def test_what_is_uploaded_is_downloaded(self, cuda):
        stream = cuda.new_stream()
        sent, received = (cuda.new_host((3, 5), np.float32, is_mapped=False) for _ in range(2))
        sent[:] = np.arange(15).reshape(3, 5)
        pointer = cuda.new_device(sent.nbytes)
        cuda.upload(pointer, sent, stream)
        cuda.download(received, pointer, stream)
        cuda.wait(stream)
        np.testing.assert_array_equal(received, sent)
        cuda.free_device(pointer)
        cuda.free_host(sent)
        cuda.free_host(received)
        cuda.free_stream(stream)

    def test_a_stream_goes_on_after_what_it_was_told_to_wait_for(self, cuda):
        first, second, event = cuda.new_stream(), cuda.new_stream(), cuda.new_event()
        sent, received = (cuda.new_host((1 << 20,), np.uint8, is_mapped=False) for _ in range(2))
        pointer = cuda.new_device(sent.nbytes)
        for value in (3, 8):  # a mark can be put down again
            sent[:] = value
            cuda.upload(pointer, sent, first)
            cuda.record(event, first)
            cuda.order_after(second, event)
            cuda.download(received, pointer, second)
            cuda.wait(second)
            assert (received == value).all()
        cuda.free_device(pointer)
        for host in (sent, received):
            cuda.free_host(host)
        cuda.free_event(event)
        for stream in (first, second):
            cuda.free_stream(stream)

    @pytest.mark.parametrize("default_stream", [0, 1, 2], ids=["default", "legacy", "of the thread"])
    def test_the_streams_that_cuda_has_by_itself_can_be_put_in_order_too(self, cuda, default_stream):
        stream, event = cuda.new_stream(), cuda.new_event()
        cuda.record(event, default_stream)
        cuda.order_after(stream, event)
        cuda.record(event, stream)
        cuda.order_after(default_stream, event)
        cuda.wait(stream)
        cuda.free_event(event)
        cuda.free_stream(stream)

    def test_an_event_that_was_never_recorded_holds_nobody_up(self, cuda):
        stream, event = cuda.new_stream(), cuda.new_event()
        cuda.order_after(stream, event)
        cuda.wait(stream)
        cuda.free_event(event)
        cuda.free_stream(stream)

    def test_opening_it_again_and_again_takes_nothing_more(self, cuda):
        for _ in range(100):  # a thread's stack of contexts has no room for that many
            opened = sys.modules[type(cuda).__module__].open()
        opened.free_stream(opened.new_stream())

    def test_mapped_memory_is_seen_by_the_device(self, cuda):
        stream = cuda.new_stream()
        mapped = cuda.new_host((4,), np.int32, is_mapped=True)
        received = cuda.new_host((4,), np.int32, is_mapped=False)
        mapped[:] = [1, 2, 3, 4]
        cuda.download(received, cuda.device_pointer(mapped), stream)
        cuda.wait(stream)
        np.testing.assert_array_equal(received, [1, 2, 3, 4])
        for host in (mapped, received):
            cuda.free_host(host)
        cuda.free_stream(stream)

    def test_a_graph_does_what_was_captured_each_time_it_is_launched(self, cuda):
        if cuda.graphs is None:
            pytest.skip(f"{cuda.name} has no graphs")
        stream = cuda.new_stream()
        sent, received = (cuda.new_host((4,), np.int32, is_mapped=False) for _ in range(2))
        pointer = cuda.new_device(sent.nbytes)

        def work() -> None:
            cuda.upload(pointer, sent, stream)
            cuda.download(received, pointer, stream)

        graph = cuda.graphs.capture(stream, work)
        for value in (3, 8):
            sent[:] = value
            cuda.graphs.launch(graph, stream)
            cuda.wait(stream)
            assert (received == value).all()
        cuda.graphs.free(graph)
        cuda.free_device(pointer)
        for host in (sent, received):
            cuda.free_host(host)
        cuda.free_stream(stream)

    def test_too_much_memory_is_an_error_and_the_next_call_works(self, cuda):
        with pytest.raises(MachineError, match="the GPU's memory is full"):
            cuda.new_device(1 << 50)
        cuda.free_device(cuda.new_device(1024))

    def test_too_much_of_the_hosts_memory_is_not_called_the_gpus(self, cuda):
        with pytest.raises(MachineError, match="page-locked memory is full"):
            cuda.new_host((1 << 50,), np.uint8, is_mapped=False)

    def test_a_capture_that_fails_leaves_its_stream_as_it_was(self, cuda):
        if cuda.graphs is None:
            pytest.skip(f"{cuda.name} has no graphs")
        stream = cuda.new_stream()

        def work() -> None:
            raise KeyError("in the middle")

        with pytest.raises(KeyError):
            cuda.graphs.capture(stream, work)
        cuda.wait(stream)  # it would refuse while it captures
        cuda.free_stream(stream)
