"""Training runs of the laboratory: begun once, resumed if interrupted, not repeated once finished."""

from collections.abc import Sequence
from pathlib import Path

from lab.gpu_check.commands import Invocation


def train_once(
    recipe: str,
    data: Path,
    run: Path,
    start: Sequence[object],
    settings: Sequence[str],
    command: str = "mde-train",
) -> None:
    """Train into the folder `run`, or resume what lies there.

    start: options for the weights; settings: KEY=VALUE; command: mde-train, or lab-train for the laboratory's networks.
    """
    if (run / "last.ckpt").exists():
        Invocation(command, "--resume", "--data", data, "--out", run).run()
        return
    flags = [word for setting in settings for word in ("--set", setting)]
    Invocation(command, "--recipe", recipe, "--data", data, "--out", run, *start, *flags).run()
