"""Which blocks of nodes to keep in FP32 so that a graph passes: as few as a greedy search finds."""

from collections.abc import Callable, Sequence

Block = tuple[str, ...]  # node names


def fewest_kept(
    blocks: Sequence[Block],
    error_of: Callable[[Sequence[Block]], float],
    passes: Callable[[Sequence[Block]], bool],
) -> tuple[Block, ...] | None:
    """Blocks that make it pass when they are kept; None where keeping all of them does not.

    Blocks are ranked by the error that is left when each is kept alone, and added in that order until it passes. Then
    whole blocks that are not needed go again, and of those that are needed, the half that is not.
    """
    kept: list[Block] = []
    for block in sorted(blocks, key=lambda block: error_of([block])):
        kept.append(block)
        if passes(kept):
            return _thinned(kept, passes)
    return None


def _thinned(kept: list[Block], passes: Callable[[Sequence[Block]], bool]) -> tuple[Block, ...]:
    needed = list(kept)
    for block in kept[:-1]:  # without the last one it did not pass
        rest = [other for other in needed if other is not block]
        if passes(rest):
            needed = rest
    for index, block in enumerate(needed):
        others = [other for other in needed if other is not block]
        needed[index] = _narrowed(block, others, passes)
    return tuple(needed)


def _narrowed(block: Block, others: Sequence[Block], passes: Callable[[Sequence[Block]], bool]) -> Block:
    middle = len(block) // 2
    for half in (block[:middle], block[middle:]) if middle else ():
        if passes([*others, half]):
            return _narrowed(half, others, passes)
    return block
