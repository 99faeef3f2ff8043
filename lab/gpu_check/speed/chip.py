"""The chip's measured rates of copying and multiplying. The floors of every figure are made of these."""

import time
from collections.abc import Callable
from dataclasses import dataclass

NUM_TIMES = 10


@dataclass(frozen=True)
class Chip:
    """Rates, each the best of NUM_TIMES."""

    device: str
    copy_bytes_per_s: float  # within the device's memory; bytes read and bytes written
    macs_per_s: dict[str, float]  # of a square matrix product, by precision; a multiply-add counts once
    upload_bytes_per_s: float  # from page-locked memory
    download_bytes_per_s: float
    launch_s: float  # of the smallest kernel, and waiting for it


def measure_chip(device: str, copy_bytes: int, matrix_side: int) -> Chip:
    """Measure with PyTorch, on random data: a chip draws less power, and is faster, on zeros."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    is_cuda = device == "cuda"

    def wait() -> None:
        if is_cuda:
            torch.cuda.synchronize()

    def best_s(work: Callable[[], object]) -> float:
        spans = []
        for _ in range(NUM_TIMES):
            wait()
            start = time.perf_counter()
            work()
            wait()
            spans.append(time.perf_counter() - start)
        return min(spans)

    source = torch.randint(0, 255, (copy_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    host = torch.empty(copy_bytes, dtype=torch.uint8, pin_memory=is_cuda)
    one = torch.zeros(1, device=device)
    rates = {}
    for precision, dtype in (("fp32", torch.float32), ("fp16", torch.float16)):
        left, right = (torch.randn(matrix_side, matrix_side, device=device).to(dtype) for _ in range(2))
        rates[precision] = matrix_side**3 / best_s(lambda left=left, right=right: left @ right)  # type: ignore[misc]  # bound early
    return Chip(
        device=torch.cuda.get_device_name() if is_cuda else "cpu",
        copy_bytes_per_s=2 * copy_bytes / best_s(lambda: target.copy_(source)),
        macs_per_s=rates,
        upload_bytes_per_s=copy_bytes / best_s(lambda: target.copy_(host)),
        download_bytes_per_s=copy_bytes / best_s(lambda: host.copy_(target)),
        launch_s=best_s(lambda: one.add_(1)),
    )
