"""One training a folder: whoever is second is refused, and a process that died holds nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mde_runtime.lock import if_free

SETTINGS = ("batch_size=4", "epochs=2", "evaluate_every_epochs=1", "max_minutes=null")
MDE_TRAIN = "import torch; torch.set_num_threads(1); from mde_train.cli.train import main; main()"
LONG_STEP = """
import itertools, sys, time
from torch.optim.optimizer import register_optimizer_step_post_hook
steps = itertools.count(1)
def wait(*_):
    if next(steps) == 8:
        print("in a long step", file=sys.stderr, flush=True)
        time.sleep(3600)
register_optimizer_step_post_hook(wait)
"""


def words(scenes: Path, run: Path) -> list[str]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return ["--recipe", "fast-demo", "--data", str(scenes), "--out", str(run), *settings]


def mde_train(*arguments: object):
    from mde_train.cli.train import main

    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def content(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


@pytest.mark.slow
def test_a_second_training_in_a_folder_is_refused_until_the_first_has_ended(scenes: Path, tmp_path: Path):
    run = tmp_path / "run"
    first = subprocess.Popen(
        [sys.executable, "-c", LONG_STEP + MDE_TRAIN, *words(scenes, run)], stderr=subprocess.PIPE, text=True
    )
    assert first.stderr
    try:
        assert any("in a long step" in line for line in first.stderr), "it ended before"
        before = content(run)
        for second in (words(scenes, run), ["--resume", "--data", scenes, "--out", run]):
            refused = mde_train(*second)
            assert refused.exit_code == 2
            assert re.fullmatch(rf".*run: process {first.pid} on \S+ is training there; .*\n", refused.stderr)
        assert content(run) == before
    finally:
        first.kill()
        first.communicate(timeout=60)
    resumed = mde_train("--resume", "--data", scenes, "--out", run)
    assert resumed.exit_code == 0, resumed.stderr


def test_a_training_in_another_folder_is_left_alone(scenes: Path, tmp_path: Path):
    with if_free(tmp_path / "one" / "run.lock") as is_ours:
        assert is_ours
        trained = mde_train(*words(scenes, tmp_path / "other"), "--fast-dev-run")
    assert trained.exit_code == 0, trained.stderr


def test_a_training_that_is_refused_for_another_reason_leaves_no_folder(tmp_path: Path):
    assert mde_train(*words(tmp_path / "nowhere", tmp_path / "run")).exit_code == 3
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_processes_of_one_training_do_not_keep_one_another_out(scenes: Path, tmp_path: Path):
    program = tmp_path / "mde_train_with_two.py"  # a file, since a training starts its other processes by it
    program.write_text(MDE_TRAIN)
    call = [sys.executable, program, *words(scenes, tmp_path / "run"), "--fast-dev-run", "--devices", "2"]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr


def test_a_link_in_the_place_of_the_lock_is_never_followed(scenes: Path, tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "diary").write_text("a secret")
    (tmp_path / "run" / "run.lock").symlink_to(tmp_path / "diary")
    assert mde_train(*words(scenes, tmp_path / "run")).exit_code == 3
    assert (tmp_path / "diary").read_text() == "a secret"


def test_a_file_under_the_locks_name_that_is_none_keeps_its_content(tmp_path: Path):
    (tmp_path / "run.lock").write_text("chapter one. " * 100)
    with if_free(tmp_path / "run.lock") as is_ours:
        assert is_ours
    assert (tmp_path / "run.lock").read_text() == "chapter one. " * 100
