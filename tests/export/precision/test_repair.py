"""The search keeps few nodes, down to single ones, asks no more often than it may, and says when nothing helps."""

import pytest

from mde_export.precision.repair import FEWEST_RUNS, MOST_RUNS, by_what_each_saves, fewest_kept, num_runs_for

BLOCKS = [("a1", "a2"), ("b1", "b2", "b3", "b4", "b5"), ("c1",), ("d1", "d2", "d3")]


def searched(costs: dict[str, float], most_runs: int = 100, limit: float = 1.0):
    """Search with nodes that cost what is given while they are not kept; ranked by what the blocks cost."""
    num_runs = 0

    def passes(kept):
        nonlocal num_runs
        num_runs += 1
        names = {name for block in kept for name in block}
        return num_runs <= most_runs and sum(cost for name, cost in costs.items() if name not in names) <= limit

    ranked = sorted(BLOCKS, key=lambda block: -sum(costs.get(name, 0) for name in block))
    return fewest_kept(ranked, passes, len)


@pytest.mark.parametrize("name", [name for block in BLOCKS for name in block])
def test_only_the_node_that_costs_is_kept(name):
    assert searched({name: 5.0}) == [(name,)]


def test_what_lies_between_two_nodes_that_are_needed_stays_with_them():
    assert searched({"b2": 5.0, "b4": 5.0}) == [("b2", "b3", "b4")]


def test_blocks_are_added_until_it_passes_and_no_further():
    assert searched({"a2": 3.0, "c1": 2.0, "b1": 0.9}) == [("a2",), ("c1",)]


def test_a_block_that_ranks_high_and_is_not_needed_goes_again():
    def passes(kept):
        return {"b2", "b3"} <= {name for block in kept for name in block}

    assert fewest_kept([BLOCKS[0], BLOCKS[2], BLOCKS[1], BLOCKS[3]], passes, len) == [("b2", "b3")]


def test_of_two_blocks_that_each_suffice_the_one_with_less_work_is_kept():
    """The last is needed in any case, and half of the others."""
    ranked = [("dear",), ("cheap",), ("last",)]
    work = {("dear",): 100, ("cheap",): 1, ("last",): 10}

    def passes(kept):
        return ("last",) in kept and len(kept) >= 2

    assert sorted(fewest_kept(ranked, passes, work.__getitem__)) == [("cheap",), ("last",)]


def test_many_blocks_that_are_not_needed_go_in_few_runs():
    blocks = [(f"n{index}",) for index in range(64)]
    asked = []

    def passes(kept):
        asked.append(len(kept))
        return {blocks[10], blocks[63]} <= set(kept)

    assert set(fewest_kept(blocks, passes, lambda _: 1)) == {blocks[10], blocks[63]}
    assert len(asked) < 32


def test_where_runs_end_more_is_kept_and_it_still_passes():
    assert searched({"b3": 5.0}, most_runs=1) == [BLOCKS[1]]
    assert searched({"b3": 5.0}, most_runs=2) in ([("b3", "b4", "b5")], [BLOCKS[1]])


def test_nothing_is_found_where_keeping_all_does_not_help():
    assert fewest_kept(BLOCKS, lambda _: False, len) is None


def test_the_larger_a_network_the_fewer_runs_a_search_has(one_convolution, noise):
    def network(side):
        return one_convolution(noise.normal(size=(1, 3, 1, 1)).astype("float32"), 0.0, 1, side, side)[1]

    assert num_runs_for(network(16)) == MOST_RUNS
    assert FEWEST_RUNS < num_runs_for(network(30000)) < MOST_RUNS
    assert num_runs_for(network(100000)) == FEWEST_RUNS


def test_a_block_whose_error_reaches_the_map_comes_before_one_that_errs_more_by_itself():
    left = {("loud",): 0.9, ("quiet",): 0.2, ("other",): 0.5}
    ranked = [("loud",), ("other",), ("quiet",), ("untried",)]
    found = by_what_each_saves(ranked, lambda kept: left[kept[0]], most=3)
    assert found == [("quiet",), ("other",), ("loud",), ("untried",)]
    assert by_what_each_saves(ranked, lambda _kept: None, most=3) == ranked
