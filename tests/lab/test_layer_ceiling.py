"""Each layer against the ceiling: every multiply-add has its node, and what does not multiply is all excess."""

from pathlib import Path

import pytest

from lab.layer_ceiling import Node, kinds_of, measured, table_of
from mde_bench.machine.graph_work import work_of
from mde_runtime.bundle import read_bundle

SAMPLE = Path(__file__).parents[2] / "samples" / "fast.mde"


def test_every_multiply_add_of_the_network_is_found_in_a_node_that_ran():
    nodes, macs_per_us = measured(SAMPLE, 0.5)
    assert sum(node.macs for node in nodes) == work_of(read_bundle(SAMPLE).graph("fp32")).num_macs
    assert macs_per_us > 0
    assert len(table_of(nodes, macs_per_us).splitlines()) == 2 + len(nodes)


def test_a_layer_at_the_ceiling_has_no_excess_and_one_that_moves_memory_has_all_its_time():
    nodes = [Node("a", "Convolution x", 1000, 10.0), Node("b", "Concat y", 0, 5.0), Node("c", "Concat y", 0, 1.0)]
    assert [node.excess_us(100.0) for node in nodes] == pytest.approx([0.0, 5.0, 1.0])
    assert [line.split(" | ")[1:4] for line in kinds_of(nodes, 100.0).splitlines()[2:]] == [
        ["2", "6", "6"],
        ["1", "10", "0"],
    ]
