"""The cure ladder of an export: an engine with wrong depth is built in other ways, the last with more nodes in FP32.

First come the ways that leave the graph and its certificate alone, which `mde-bundle engine` tries on the device too;
then FP32 islands, which make another graph, with a certificate of its own. A build takes minutes, so their number is
bounded.
"""

from collections.abc import Callable, Sequence

import onnx_ir as ir

from mde_export.engine.attempts import Attempt
from mde_export.graph.stages import is_stage
from mde_export.judge.certify import Trial
from mde_export.precision.islands import CURED, names_in
from mde_runtime.certificate import Island
from mde_runtime.engines.build import BuildOptions
from mde_runtime.engines.cures import rungs
from mde_runtime.errors import MachineError

MOST_ISLANDS = 10  # that are tried, a build each

Build = Callable[[str, BuildOptions, tuple[Island, ...]], Attempt]


class Ladder:
    """Builds with what verification said of each."""

    def __init__(self, attempt: Build, failed: Attempt):
        self._attempt = attempt
        self.said = [f"the engine gives wrong depth: {_verdict(failed)}"]
        self.right: tuple[str, Attempt] | None = None  # the last one

    def is_right(self, way: str, options: BuildOptions, islands: tuple[Island, ...]) -> bool:
        """Whether an engine that is built this way gives right depth."""
        try:
            found = self._attempt(way, options, islands)
        except MachineError as error:
            self.said.append(f"tried {way}: {error}")
            return False
        self.said.append(f"tried {way}: {_verdict(found)}")
        if found.breaches:
            return False
        self.right = way, found
        return True


def cured(
    failed: Attempt, attempt: Build, model: ir.Model, trial: Trial, library: str
) -> tuple[Attempt | None, tuple[str, ...]]:
    """A build whose depth is right, and a line for each that was tried; None where none is.

    trial: of the graph whose engine failed. library: its name and version.
    """
    ladder = Ladder(attempt, failed)
    if not any(ladder.is_right(rung.name, rung.options, failed.islands) for rung in rungs(failed.options)):
        _try_islands(ladder, failed, model, trial, library)
    if ladder.right is None:
        return None, tuple(ladder.said)
    way, found = ladder.right
    return found, (*ladder.said, f"kept: {way}")


def _try_islands(ladder: Ladder, failed: Attempt, model: ir.Model, trial: Trial, library: str) -> None:
    """Look for a few nodes side by side that make it right in FP32; not all: nothing of the precision would be left."""
    taken = names_in(failed.islands)
    nodes = [node.name for node in model.graph if node.name and node.name not in taken and not is_stage(node.name)]
    if trial.lowering is None or not nodes:
        return

    def is_right(kept: Sequence[str]) -> bool:
        ends = " to ".join(dict.fromkeys((kept[0], kept[-1])))
        way = f"{len(kept)} of {len(nodes)} nodes in FP32, {ends}"
        return ladder.is_right(way, failed.options, (*failed.islands, Island(tuple(kept), CURED.format(library), None)))

    if fewest_neighbours(nodes, is_right, MOST_ISLANDS) == nodes:
        ladder.right = None
        ladder.said.append(f"only the whole network in FP32 is right, and leaves nothing in {trial.precision}")


def fewest_neighbours(nodes: Sequence[str], is_right: Callable[[Sequence[str]], bool], most: int) -> list[str] | None:
    """Few nodes side by side that make it right, within `most` questions; None where all of them do not.

    Half of all is left out at the beginning, then at the end, then a quarter, and so on, where it stays right.
    """
    kept, num_left = list(nodes), most - 1
    if not is_right(kept):
        return None
    step = len(kept)
    while step > 1:
        step = -(-step // 2)
        for part in (slice(step, None), slice(None, -step)):
            if len(kept) <= step or num_left == 0:
                break
            num_left -= 1
            if is_right(kept[part]):
                kept = kept[part]
    return kept


def _verdict(attempt: Attempt) -> str:
    return attempt.breaches[0] if attempt.breaches else "right"
