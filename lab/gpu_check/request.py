"""The request: the paths and names that were given to a check."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rehearsal:
    """A check on a CPU, as small as can be: half a minute a training, enough on frames that are learned fast."""

    num_scenes: int = 400  # a certificate needs 64 that are held out
    settings: tuple[str, ...] = (
        "max_minutes=0.5",
        "batch_size=8",
        "precision=fp32",
        "schedule=one-cycle",
        "lr=3e-3",
        "ema_decay=null",
    )


@dataclass(frozen=True)
class Request:
    """The paths and names that the parts work on; None where one was not given."""

    out: Path
    models: Path | None = None  # bench: a folder of checkpoints
    bundle: Path | None = None
    data: Path | None = None  # train, bundle: frames with depth
    jobs: str | None = None  # train: names or groups, with commas between
    rehearsal: Rehearsal | None = None  # on a CPU, as small as can be; None: for real
