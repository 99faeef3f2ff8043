"""What a check was asked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Asked:
    """The paths and names that the parts work on; None is what was not given."""

    out: Path
    models: Path | None = None  # bench: a folder of checkpoints
    bundle: Path | None = None
    data: Path | None = None  # train, bundle: frames with depth
    jobs: str | None = None  # train: names or groups, with commas between
    is_rehearsal: bool = False  # on a CPU, as small as can be
