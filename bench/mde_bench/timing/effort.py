"""Efforts: how long `mde-bench` measures, from a first look to a figure for the record, one row each.

An effort changes how long is measured and how often is launched, never what counts as settled. The share of false
alarms that a comparison admits belongs to its effort and is stated with the verdict.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """How long candidates are measured in turns. The defaults give every candidate at least 3 s and 50 calls."""

    num_rounds: int = 25
    block_s: float = 0.12
    min_calls: int = 2  # in a block
    max_windows: int = 3
    max_warm_up_s: float = 5.0  # of each candidate
    max_s: float = 80.0  # of all windows together: on a busy machine what was measured by then has to do
    min_rounds: int = 8  # are measured all the same: fewer give no interval
    settled_share: float = 0.10  # of the median: more drift than this, or a wider interval, and a window is not valid


@dataclass(frozen=True, kw_only=True)
class Launches:
    """How often two bundles are launched side by side, and how sure a verdict has to be."""

    looks: tuple[int, ...]  # launches after which we check whether the interval is decisive
    level: float  # of each look; the first look must have enough launches for an interval at this level
    rounds: Rounds  # of one launch

    @property
    def false_alarm_share(self) -> float:
        """The share of comparisons of equal bundles that end as slower or faster, at most: the sum over the looks."""
        return self.level * len(self.looks)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """A row of the table. help: one line for `--help`."""

    name: str
    help: str
    rounds: Rounds
    launches: Launches
    measures_peak: bool  # False: the processor's peak is taken from its instruction set and clock


# Of one launch. Many cheap launches see more in the same time than few long ones; one block warms up, since a first
# round that is still slow is slow for both, and one of eight does not move their median.
ONE_LAUNCH = Rounds(num_rounds=8, block_s=0.015, min_calls=1, max_windows=1, max_warm_up_s=0.03)

NORMAL = Effort(
    name="normal",
    help="about 4 s per candidate, 11 to 36 launches per comparison",
    rounds=Rounds(),
    launches=Launches(looks=(11, 15, 21, 28, 36), level=0.001, rounds=ONE_LAUNCH),
    measures_peak=True,
)
EFFORTS = {
    effort.name: effort
    for effort in (
        Effort(
            name="brief",
            help="a first look, done in seconds: 9 short rounds, 6 launches per comparison",
            rounds=Rounds(num_rounds=9, block_s=0.02, max_windows=1, max_warm_up_s=0.2, max_s=10.0),
            launches=Launches(looks=(6,), level=0.05, rounds=ONE_LAUNCH),
            measures_peak=False,
        ),
        NORMAL,
        Effort(
            name="thorough",
            help="three times as long, for narrower intervals: 75 rounds, 15 to 64 launches per comparison",
            rounds=Rounds(num_rounds=75, max_s=240.0),
            launches=Launches(looks=(15, 21, 28, 36, 48, 64), level=0.0005, rounds=ONE_LAUNCH),
            measures_peak=True,
        ),
    )
}
