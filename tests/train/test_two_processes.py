import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("two_processes.py")


def trained(num_processes: int, out: Path) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, str(SCRIPT), str(num_processes), str(out)], check=True, timeout=200, env=environment
    )
    return torch.load(out, weights_only=True)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path):
    one, two = (trained(count, tmp_path / f"{count}.pt") for count in (1, 2))
    assert (one["world_size"], two["world_size"]) == (1, 2)
    for kind in ("gradients", "weights"):
        for name, values in one[kind].items():
            # the sum over the batch is taken in another order: float32's rounding
            torch.testing.assert_close(two[kind][name], values, rtol=1e-4, atol=1e-6)
