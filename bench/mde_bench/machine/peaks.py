"""The peaks of a processor: multiply-adds and bytes a second, measured on a CPU, from the datasheet on a GPU.

A CPU's is the best of NumPy's matrix product, OpenVINO's convolution where it is installed, and the candidates in FP32
themselves, since a peak that one of them is above is none: NumPy's library is slow on some machines. Bytes are the best
copy of NumPy. All have as many threads as the candidates. Beside them stands what instruction set and clock promise,
which no measurement can be far above.
"""

import concurrent.futures
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mde_bench.machine.conditions import moment
from mde_bench.machine.nvidia import GpuSpec, gpu_spec
from mde_runtime.machine import Machine, this_machine

# Multiply-adds a cycle and core in FP32: lanes of a vector times the units that take one each cycle.
LANES = {"avx512f": 32, "avx2": 16, "avx": 8, "asimd": 8}
FASTER_THAN_FP32 = {"fp32": 1, "fp16": 4, "bf16": 4, "int8": 8}  # tiles and dot products against plain vectors, at most
WINOGRAD_SAVES = 2.25  # of a convolution's multiplications by their definition
TURBO = 2.0  # the clock that the system tells may be the base clock, and a core may run so much faster for a while

# Dense multiply-adds a cycle and multiprocessor, by compute capability: FP32 on CUDA cores, FP16 on tensor cores.
# From NVIDIA's white papers: their peak rates over their multiprocessors and boost clocks.
GPU_LANES = {
    "7.5": (64, 512),
    "8.0": (64, 1024),
    "8.6": (128, 512),
    "8.7": (128, 1024),
    "8.9": (128, 512),
    "9.0": (128, 2048),
    "10.0": (128, 4096),
    "10.3": (128, 4096),
    "11.0": (128, 4096),
    "12.0": (128, 512),
    "12.1": (128, 512),
}

MATRIX_SIDE = 768  # three of them fill no cache of the last level, and one product takes some 10 ms on a core
CHANNELS, SIDE_PX, NUM_LAYERS = 128, 28, 4  # of convolutions, 460 M multiply-adds: the second stage of a ResNet
COPY_BYTES = 64 << 20  # more than the caches hold
MEASURE_S = 0.4  # of each
MIN_TIMES = 5  # of each, however slow


@dataclass(frozen=True)
class Peaks:
    """What the processor under a candidate can do."""

    source: Literal["measured", "datasheet"]
    macs_per_s: dict[str, float]  # by arithmetic; of one that is missing, FP32's
    bytes_per_s: float | None  # read and written; None: not known
    limits_macs_per_s: dict[str, float]  # by arithmetic: nothing is faster, Winograd's savings and turbo included
    promised_macs_per_s: float | None  # FP32, by instruction set and clock; None: not known

    def with_reached(self, macs_per_s: float) -> "Peaks":
        """The same, where something in FP32 was faster: never beyond what can be at all."""
        if self.source == "datasheet" or not self.macs_per_s["fp32"] < macs_per_s <= self.limits_macs_per_s["fp32"]:
            return self
        return replace(self, macs_per_s={**self.macs_per_s, "fp32": macs_per_s})

    @property
    def in_words(self) -> str:
        """Said beside a result."""
        said = f"{self.macs_per_s['fp32'] / 1e9:.0f} G multiply-adds per second in FP32"
        if self.source == "measured" and self.promised_macs_per_s:
            said += f" ({self.macs_per_s['fp32'] / self.promised_macs_per_s:.0%} of instruction set x clock)"
        if self.bytes_per_s:
            said += f", {self.bytes_per_s / 1e9:.3g} GB per second"
        return f"{said}, {self.source}"


def cpu_peaks(
    machine: Machine, num_threads: int, clock_hz: float | None, measured: tuple[float, float] | None
) -> Peaks | str:
    """Of a CPU, or why they are not known. measured: what `measure_cpu` gave."""
    lanes = next((lanes for flag, lanes in LANES.items() if flag in machine.instruction_set), None)
    promised = None if lanes is None or clock_hz is None else lanes * clock_hz * min(num_threads, machine.num_cores)
    fp32 = measured[0] if measured else promised
    if fp32 is None:
        return "the processor's clock or instruction set is not known, and its peak was not measured"
    limit = TURBO * WINOGRAD_SAVES * max(fp32, promised or 0.0)
    return Peaks(
        source="measured" if measured else "datasheet",
        macs_per_s={"fp32": fp32},
        bytes_per_s=measured[1] if measured else None,
        limits_macs_per_s={arithmetic: factor * limit for arithmetic, factor in FASTER_THAN_FP32.items()},
        promised_macs_per_s=promised,
    )


def gpu_peaks(spec: GpuSpec | None) -> Peaks | str:
    """Of a GPU, by its datasheet, or why they are not known."""
    if spec is None:
        return "CUDA's driver does not tell which GPU this is"
    lanes = GPU_LANES.get(spec.compute_capability)
    if lanes is None:
        return f"the peak of a GPU of compute capability {spec.compute_capability} is not in the bench's table"
    fp32, fp16 = (rate * spec.num_multiprocessors * spec.clock_hz for rate in lanes)
    rates = {"fp32": fp32, "fp16": fp16, "int8": 2 * fp16}
    limits = {"fp32": fp16, "fp16": fp16, "int8": 2 * fp16}  # FP32 layers may run as TF32 on the tensor cores
    return Peaks(
        source="datasheet",
        macs_per_s=rates,
        bytes_per_s=spec.memory_bytes_per_s,
        limits_macs_per_s={arithmetic: WINOGRAD_SAVES * limit for arithmetic, limit in limits.items()},
        promised_macs_per_s=fp32,
    )


def peaks_here(num_threads: int, *, is_measured: bool) -> dict[str, Peaks | str]:
    """Of what candidates run on here, cpu and cuda, or why they are not known."""
    measured = measure_cpu(num_threads) if is_measured else None
    return {
        "cpu": cpu_peaks(this_machine(), num_threads, moment().clock_hz, measured),
        "cuda": gpu_peaks(gpu_spec()),
    }


def measure_cpu(num_threads: int) -> tuple[float, float]:
    """FP32 multiply-adds and bytes a second. In a process of its own, since NumPy's threads are set when it loads."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    ended = subprocess.run(
        [sys.executable, "-m", "mde_bench.machine.peaks", str(num_threads)],
        env={**os.environ, **dict.fromkeys(names, str(num_threads))},
        capture_output=True,
        check=True,
    )
    macs_per_s, bytes_per_s = json.loads(ended.stdout)
    return macs_per_s, bytes_per_s


def _measure(num_threads: int) -> tuple[float, float]:
    left, right = np.random.default_rng(0).random((2, MATRIX_SIDE, MATRIX_SIDE), np.float32)
    product = np.empty_like(left)
    sources = [np.ones(COPY_BYTES // num_threads, np.uint8) for _ in range(num_threads)]
    targets = [np.empty_like(source) for source in sources]
    with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
        product_s = _best_s(lambda: np.matmul(left, right, out=product))
        copy_s = _best_s(lambda: list(pool.map(np.copyto, targets, sources)))
    return max(MATRIX_SIDE**3 / product_s, _convolution_macs_per_s(num_threads)), 2 * COPY_BYTES / copy_s


def _convolution_macs_per_s(num_threads: int) -> float:
    """Of 3x3 convolutions one after the other in OpenVINO, in FP32; 0 where it is not installed."""
    try:
        import openvino as ov  # an extra
    except ImportError:
        return 0.0
    chance = np.random.default_rng(0)
    shape, kernel = (1, CHANNELS, SIDE_PX, SIDE_PX), (CHANNELS, CHANNELS, 3, 3)
    entry = ov.opset13.parameter(list(shape), np.float32)
    value = entry
    for _ in range(NUM_LAYERS):
        weight = ov.opset13.constant(chance.normal(0, 0.05, kernel).astype(np.float32))
        value = ov.opset13.convolution(value, weight, [1, 1], [1, 1], [1, 1], [1, 1])
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": num_threads, "PERFORMANCE_HINT": "LATENCY"}
    request = ov.Core().compile_model(ov.Model([value], [entry], "chain"), "CPU", settings).create_infer_request()
    picture = chance.normal(size=shape).astype(np.float32)
    num_macs = NUM_LAYERS * CHANNELS * CHANNELS * 9 * SIDE_PX * SIDE_PX
    return num_macs / _best_s(lambda: request.infer([picture], share_inputs=True))


def _best_s(work: Callable[[], object]) -> float:
    work()  # the first touches memory that the system has yet to give
    spans: list[float] = []
    end = time.perf_counter() + MEASURE_S
    while len(spans) < MIN_TIMES or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        spans.append(time.perf_counter() - start)
    return min(spans)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(int(sys.argv[1]))))
