"""A FIFO or a device in the place of any file that a command reads: refused by name, neither waited for nor read."""

import importlib
import os
import shutil
import signal
from pathlib import Path

import click.testing
import pytest

CALLS = {  # {} is what is no file; {NAME} a data set in which a file of that name is none
    "a bundle": ("mde_runtime.cli.bundle", "inspect {}"),
    "a bundle to predict with": ("mde_runtime.cli.predict", "{} {picture} -o out"),
    "an engine": ("mde_runtime.cli.bundle", f"engine {{sample}} --install {{}} --sha256 {'0' * 64}"),
    "a model to export": ("mde_export.cli", "{} -o a.mde"),
    "a gate": ("mde_bench.cli", "run {sample} --gate {} --data ."),
    "weights to start from": ("mde_train.cli.train", "--recipe fast --data . --out r --init {}"),
    "NYU's list": ("mde_train.cli.data", "check {nyu2_train.csv}"),
    "KITTI's list": ("mde_train.cli.data", "check {train_files.txt}"),
    "a split": ("mde_train.cli.data", "check {split.json}"),
}
NEEDS = {"an engine": "tensorrt_rtx", "weights to start from": "torch"}  # before the file is looked at
CASES = [pytest.param(what, marks=pytest.mark.needs(NEEDS[what]) if what in NEEDS else ()) for what in CALLS]
REFUSALS = ("which is not read", "not a supported layout", "no such file; name a checkpoint")


@pytest.fixture
def impatient():
    """Ends a test that waits."""

    def end(number, at):  # noqa: ARG001  a signal handler's signature
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(60)  # loading torch takes seconds
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("impatient")
@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no such devices")
@pytest.mark.parametrize("kind", ["FIFO", "device"])
@pytest.mark.parametrize("what", CASES)
def test_what_is_no_file_is_refused_wherever_a_file_is_read(what, kind, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, text = CALLS[what]
    words = [odd(word, kind, root) for word in text.split()]
    ended = click.testing.CliRunner().invoke(importlib.import_module(module).main, words)
    assert ended.exit_code in (2, 3), ended.output
    assert any(words in ended.stderr for words in REFUSALS), ended.stderr


def odd(word: str, kind: str, root: Path) -> str:
    """A word of a call, with what stands for a path replaced by one."""
    if not word.startswith("{"):
        return word
    name = word.strip("{}")
    known = {"sample": root / "samples" / "fast.mde", "picture": root / "samples" / "street.jpeg"}
    if name in known:
        return str(known[name])
    folder = Path("data")
    folder.mkdir()
    path = folder / (name or "file")
    if kind == "FIFO":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    if name.endswith(".json"):  # which stands beside frames
        for part in ("rgb", "depth"):
            shutil.copytree(root / "docs" / "pictures", folder / part / "train", symlinks=True)
    return str(folder if name else path)
