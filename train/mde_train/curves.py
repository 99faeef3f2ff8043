"""The curves of a run: `curves.csv`, one row a figure, and TensorBoard's files, which hold the pictures too."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mde_runtime import files

HEADER = "step,minutes,name,value"
ROW = re.compile(r"^(\d+),\d+\.\d+,\w+,[-+.\w]+\n", re.MULTILINE | re.ASCII)  # what a power cut tore does not match


class Curves:
    """Writes the figures of a run. A resumed run's files go on; what came after the step it resumes from is gone."""

    def __init__(self, run: Path, first_step: int):
        from torch.utils.tensorboard import SummaryWriter

        self._csv = run / "curves.csv"
        kept = files.read_small(self._csv).decode(errors="replace") if self._csv.exists() and first_step else ""
        rows = [row[0] for row in ROW.finditer(kept) if int(row[1]) <= first_step]
        files.write_text(self._csv, "".join([HEADER, "\n", *rows]))
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=first_step)

    def add(self, step: int, minutes: float, figures: dict[str, float]) -> None:
        """Add figures by name."""
        with self._csv.open("a") as file:
            file.writelines(f"{step},{minutes:.3f},{name},{value:.6g}\n" for name, value in figures.items())
        for name, value in figures.items():
            self._board.add_scalar(name, value, step)

    def add_picture(self, step: int, picture: npt.NDArray[np.uint8]) -> None:
        """Add a picture (H, W, 3)."""
        self._board.add_image("frames", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is still held back."""
        self._board.close()
