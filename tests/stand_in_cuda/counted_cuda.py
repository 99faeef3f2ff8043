"""A pytest plugin for tests over the stand-in of CUDA's driver: each in every mode, and its counters held.

Whatever a test makes it gives back, and it never breaks a rule: no call without a context, no handle or memory that was
freed, no memory freed under queued work. Loaded with `-p counted_cuda` where LD_LIBRARY_PATH names the stand-in.
"""

import ctypes
import gc
from collections.abc import Iterator

import pytest

MODES = ("eager", "lazy", "threads")  # work is done at once, as late as allowed, and by a thread for each stream

LEFT = (
    *("device_allocations", "host_allocations", "host_registrations"),
    *("streams", "events", "graphs", "executables", "contexts"),
)
WRONG = (
    *("calls_without_context", "calls_after_fork", "calls_from_host_functions", "bad_frees", "bad_handles"),
    *("bad_pointers", "broken_captures", "frees_while_busy"),
)
DONE = ("errors", "unsupported_calls", "copies", "pageable_copies", "host_functions", "graph_launches")


class Counters(ctypes.Structure):
    """struct fake_cuda_counters."""

    _fields_ = tuple((name, ctypes.c_long) for name in (*LEFT, *WRONG, *DONE))


class StandIn:
    """The stand-in that this process has loaded as its driver."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        self._library.fake_cuda_counters.restype = ctypes.POINTER(Counters)
        self._library.fake_cuda_calls.restype = ctypes.c_long

    def read_settings(self) -> None:
        """Let what is in the environment now hold."""
        self._library.fake_cuda_read_settings()
        self._library.fake_cuda_reset_calls()

    def num_calls(self) -> int:
        """How many calls there were since the settings were read."""
        return int(self._library.fake_cuda_calls())

    def num_injected(self) -> int:
        """How many of them failed because FAKE_CUDA_FAIL asked for it."""
        return int(self._library.fake_cuda_was_injected())

    def left(self) -> dict[str, int]:
        """What is allocated now."""
        return self._read(LEFT)

    def wrong(self) -> dict[str, int]:
        """How often a rule was broken so far."""
        return self._read((*WRONG, "pageable_copies"))

    def _read(self, names: tuple[str, ...]) -> dict[str, int]:
        counters = self._library.fake_cuda_counters().contents
        return {name: getattr(counters, name) for name in names}


def pytest_configure(config: pytest.Config) -> None:
    """The markers of the tests that check the counting itself, and of those that queue nothing."""
    config.addinivalue_line("markers", "breaks_rules: breaks a rule of CUDA on purpose, so that it is counted")
    config.addinivalue_line("markers", "any_mode: does not depend on when queued work is done, and runs in one mode")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test in every mode, unless it says that one will do."""
    modes = MODES[1:2] if metafunc.definition.get_closest_marker("any_mode") else MODES
    metafunc.fixturenames.append("cuda_mode")
    metafunc.parametrize("cuda_mode", modes, indirect=True)


@pytest.fixture
def stand_in() -> StandIn:
    """The driver's stand-in."""
    return StandIn()


@pytest.fixture
def cuda_mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn) -> str:
    """When queued work is done."""
    monkeypatch.setenv("FAKE_CUDA_MODE", request.param)
    stand_in.read_settings()
    mode: str = request.param
    return mode


@pytest.fixture(autouse=True)
def _counted(request: pytest.FixtureRequest, cuda_mode: str, stand_in: StandIn) -> Iterator[None]:
    left, wrong = stand_in.left(), stand_in.wrong()
    yield
    gc.collect()
    assert stand_in.left() == left, f"left on the device by a test ({cuda_mode})"
    breaks_rules = request.node.get_closest_marker("breaks_rules") is not None
    assert breaks_rules or stand_in.wrong() == wrong, f"a rule of CUDA was broken ({cuda_mode})"
