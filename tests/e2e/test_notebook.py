"""The notebook of the docs runs from its first cell to its last, in a folder with the samples."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def cells() -> list[str]:
    content = json.loads((ROOT / "docs" / "first_hour.ipynb").read_text())["cells"]
    return ["".join(cell["source"]) for cell in content if cell["cell_type"] == "code"]


def test_the_notebook_runs_and_its_export_gives_the_calibrated_metres(tmp_path):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    checks = [
        "assert abs(gain - 1.15) < 0.02, gain",  # measured to 1 %, 24 times
        "assert np.abs(scaled_m - calibrated_m)[inside].max() < 0.02",  # metres: float32 and a resize of either
        "assert '<table>' in estimate._repr_html_() and '<table>' in bundle._repr_html_()",
    ]
    (tmp_path / "cells.py").write_text("\n".join([*cells(), *checks]))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ended = subprocess.run(
        [sys.executable, "cells.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "first-hour" / "mycamera.mde").exists()


def test_the_notebook_carries_no_output_that_could_grow_old():
    content = json.loads((ROOT / "docs" / "first_hour.ipynb").read_text())["cells"]
    assert all(not cell["outputs"] for cell in content if cell["cell_type"] == "code")
