"""The time of calls on a GPU, in kernels and copies, traced by the driver, whichever library launched it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

COPIES = ("Memcpy", "Memset")  # how the names of what is no kernel begin


@dataclass(frozen=True)
class GpuTime:
    """Of one call, the mean of those that were traced. All 0 where no GPU was used."""

    kernel_s: float
    copy_s: float  # to the device, from it and within it
    num_kernels: float


def traced(call: Callable[[], object], num_calls: int) -> GpuTime:
    """Trace calls with torch's profiler. Raises ImportError without torch."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    activity = ProfilerActivity.CUDA if torch.cuda.is_available() else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        for _ in range(num_calls):
            call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return gpu_time(profiler.events() or (), num_calls)


def gpu_time(events: Iterable[Any], num_calls: int) -> GpuTime:  # Any: torch's profiler publishes no type
    """The sums of a trace's events (`device_type`, `name`, `time_range.elapsed_us()`) on the GPU, for one call."""
    kernel_us = copy_us = num_kernels = 0.0
    for event in events:
        if event.device_type.name != "CUDA" or getattr(event, "is_user_annotation", False):
            continue  # an annotation spans kernels that are counted themselves; older versions of torch have none
        if event.name.startswith(COPIES):
            copy_us += event.time_range.elapsed_us()
        else:
            kernel_us += event.time_range.elapsed_us()
            num_kernels += 1
    return GpuTime(kernel_us / 1e6 / num_calls, copy_us / 1e6 / num_calls, num_kernels / num_calls)
