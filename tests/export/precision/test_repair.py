"""The search keeps as few nodes as it can find, and says so when nothing helps."""

from mde_export.precision.repair import fewest_kept

BLOCKS = [("a1", "a2"), ("b1", "b2", "b3", "b4"), ("c1",)]


def searched(costs: dict[str, float], limit: float = 1.0):
    """Search with nodes that cost what is given while they are not kept."""

    def error_of(kept):
        names = {name for block in kept for name in block}
        return sum(cost for name, cost in costs.items() if name not in names)

    return fewest_kept(BLOCKS, error_of, lambda kept: error_of(kept) <= limit)


def test_only_the_node_that_costs_is_kept():
    assert searched({"b3": 5.0, "a1": 0.1}) == (("b3",),)


def test_blocks_are_added_until_it_passes_and_no_further():
    assert searched({"a2": 3.0, "c1": 2.0, "b1": 0.9}) == (("a2",), ("c1",))


def test_a_block_that_is_no_longer_needed_goes_again():
    def error_of(kept):
        names = {name for block in kept for name in block}
        return 0.0 if {"b2", "b3"} <= names else 2.0 if "a1" in names else 3.0  # a helps alone, b is what cures

    assert fewest_kept(BLOCKS, error_of, lambda kept: error_of(kept) <= 1.0) == (BLOCKS[1],)


def test_nothing_is_found_where_keeping_all_does_not_help():
    assert fewest_kept(BLOCKS, lambda _: 9.0, lambda _: False) is None
