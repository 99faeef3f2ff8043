"""Training runs of the laboratory: begun once, resumed if interrupted, not repeated once finished."""

from collections.abc import Sequence
from pathlib import Path

from lab.gpu_check.commands import Invocation


def train_once(recipe: str, data: Path, run: Path, start: Sequence[object], settings: Sequence[str]) -> None:
    """Train into the folder `run`, or resume what lies there. start: options for the weights; settings: KEY=VALUE."""
    if (run / "last.ckpt").exists():
        Invocation("mde-train", "--resume", "--data", data, "--out", run).run()
        return
    flags = [word for setting in settings for word in ("--set", setting)]
    Invocation("mde-train", "--recipe", recipe, "--data", data, "--out", run, *start, *flags).run()
