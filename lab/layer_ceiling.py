"""Each layer of a bundle against the chip's convolution ceiling: what a network takes beyond its multiplications.

    .venv/bin/python -m lab.layer_ceiling samples/fast.mde

OpenVINO times every node of its own compiled FP32 graph, one thread; the ceiling is that of `lab.ceiling`, measured in
the same turns. A layer's excess is its time less the time that its multiply-adds take at the ceiling: all of it for a
node without any. The times are lowest tenths, since another process on the core only ever adds to them.
"""

import os
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov

from lab.ceiling import CHAINS, NUM_WARM, OPENVINO, chain
from mde_bench.machine.graph_work import layers_of
from mde_bench.report.markdown import markdown_table
from mde_runtime.bundle import read_bundle

LOWEST = 0.1


@dataclass(frozen=True)
class Node:
    """A node of the compiled graph."""

    name: str
    kind: str  # OpenVINO's type and its kernel
    macs: int
    us: float  # the lowest tenth

    def excess_us(self, macs_per_us: float) -> float:
        """Its time beyond that of its multiply-adds at the ceiling."""
        return self.us - self.macs / macs_per_us


def main(bundle: str, seconds: str = "60") -> None:
    """Measure for so many seconds, and print a row for each node and for each kind of node."""
    nodes, macs_per_us = measured(Path(bundle), float(seconds))
    total_us = sum(node.us for node in nodes)
    share = sum(node.macs for node in nodes) / macs_per_us / total_us
    summary = f"{Path(bundle).name}: {total_us / 1e3:.2f} ms in all nodes, {share:.1%} of the ceiling of "
    tables = (table_of(nodes, macs_per_us), kinds_of(nodes, macs_per_us))
    sys.stdout.write(f"{summary}{macs_per_us / 1e3:.1f} GMAC/s, load {os.getloadavg()[0]:.1f}\n")
    sys.stdout.write("\n".join(tables) + "\n")


def measured(bundle: Path, seconds: float) -> tuple[list[Node], float]:
    """The nodes that ran, in their order, and the ceiling, multiply-adds a microsecond."""
    read = read_bundle(bundle)
    macs = {layer.name: layer.num_macs for layer in layers_of(read.graph("fp32"))}
    core = ov.Core()
    compiled = core.compile_model(core.read_model(read.graph("fp32"), b""), "CPU", {**OPENVINO, "PERF_COUNT": True})
    request, feeds = compiled.create_infer_request(), {"frame": read.golden().frames[:1]}
    chains = [chain(*shape) for shape in CHAINS]
    for _ in range(NUM_WARM):
        request.infer(feeds, share_inputs=True)
        for each in chains:
            each.call()
    times_us, kinds = defaultdict[str, list[float]](list), dict[str, str]()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        request.infer(feeds, share_inputs=True)
        for node in request.profiling_info:
            if node.status == ov.ProfilingInfo.Status.EXECUTED:
                kinds[node.node_name] = f"{node.node_type} {node.exec_type}"
                times_us[node.node_name].append(node.real_time.total_seconds() * 1e6)
        for each in chains:
            each.time()
    ceiling = max(each.macs / (float(np.quantile(each.cpu_ms, LOWEST)) * 1e3) for each in chains)
    found = []
    for name, kind in kinds.items():
        layer = name.split("/WithoutBiases")[0]
        found.append(Node(layer, kind, macs.get(layer, 0), float(np.quantile(times_us[name], LOWEST))))
    return found, ceiling


def table_of(nodes: list[Node], macs_per_us: float) -> str:
    """A row for each node, the largest excess first."""
    total_us = sum(node.us for node in nodes)
    rows = []
    for node in sorted(nodes, key=lambda it: -it.excess_us(macs_per_us)):
        share = f"{node.macs / macs_per_us / node.us:.0%}" if node.macs and node.us else ""
        excess = node.excess_us(macs_per_us)
        numbers = (f"{node.macs / 1e6:.1f}", f"{node.us:.0f}", share, f"{excess:.0f}", f"{excess / total_us:.1%}")
        rows.append((node.name, node.kind, *numbers))
    return markdown_table(("node", "kernel", "MMAC", "µs", "of the ceiling", "excess µs", "of all time"), rows)


def kinds_of(nodes: list[Node], macs_per_us: float) -> str:
    """The same by kind: multiplying, and each other type of node."""
    total_us = sum(node.us for node in nodes)
    groups = defaultdict[str, list[Node]](list)
    for node in nodes:
        groups["layers that multiply" if node.macs else node.kind.split()[0]].append(node)
    rows = [
        (name, str(len(group)), f"{sum(it.us for it in group):.0f}", f"{excess:.0f}", f"{excess / total_us:.1%}")
        for name, group in groups.items()
        for excess in (sum(it.excess_us(macs_per_us) for it in group),)
    ]
    rows.sort(key=lambda row: -float(row[3]))
    return markdown_table(("kind", "nodes", "µs", "excess µs", "of all time"), rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
