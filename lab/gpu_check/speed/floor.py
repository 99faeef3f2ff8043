"""The least time that a graph can take on a chip: what its layers move and multiply, over the chip's measured rates.

Each convolution and matrix product takes the longer of its bytes (input, weights, output, once each) over the copy rate
and of its multiply-adds over the rate of a matrix product. All else is taken to be fused into them and to cost nothing,
and layers to follow one another without a gap. An algorithm that saves multiplications (Winograd) can pass the second.
"""

from lab.gpu_check.speed.chip import Chip
from mde_bench.machine.graph_work import layers_of
from mde_runtime.precision import Precision


def floor_s(graph: bytes, batch: int, precision: Precision, chip: Chip) -> float:
    """Seconds for a batch, at the very least."""
    macs_per_s = chip.macs_per_s["fp32" if precision == "fp32" else "fp16"]
    return sum(
        max(
            (batch * layer.frame_bytes + layer.weight_bytes) / chip.copy_bytes_per_s,
            batch * layer.num_macs / macs_per_s,
        )
        for layer in layers_of(graph)
    )
