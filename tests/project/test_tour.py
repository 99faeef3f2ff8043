"""The commands of the documentation: each exists with its options, and each block runs or says why it does not.

A block without a language, or of `sh`, holds commands, one of `python` Python; all others have a language of their own.
A comment before a block says what is left out: `<!-- not run: REASON -->` or `<!-- run but for LINE, LINE: REASON -->`,
by how the lines begin. The archive is a record: its commands are those of their day.
"""

import importlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from mde_runtime import DepthEstimator
from mde_runtime.command import OUTPUT
from mde_runtime.errors import MdeError
from tests.project.conftest import MODULES, ROOT

BIN = Path(sys.executable).parent
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
MARK = re.compile(r"(?P<whole>not run)|run but for (?P<left_out>[^:]+)")
OURS = re.compile(rf"(?:^|[\s(])({'|'.join(MODULES)})\)?(?=\s|$)(.*)")
COMMANDS, PYTHON = ("", "sh"), "python"


@dataclass(frozen=True)
class Block:
    """A block of a page: where it is, what is said before it, and what it holds."""

    page: str
    line: int
    mark: str
    language: str
    body: str

    @property
    def lines(self) -> list[str]:
        """The commands, one a line, without comments."""
        lines = self.body.replace("\\\n", " ").splitlines()
        return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line]

    @property
    def left_out(self) -> tuple[str, ...]:
        """The beginnings of the lines that are not run."""
        found = MARK.match(self.mark)
        if not found:
            return ()
        return ("",) if found["whole"] else tuple(found["left_out"].split(", "))


def blocks_of(page: str, text: str) -> list[Block]:
    return [
        Block(page, text[: found.start()].count("\n") + 1, found["mark"] or "", found["language"], found["body"])
        for found in BLOCK.finditer(text)
    ]


def documentation() -> dict[str, str]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name: (ROOT / name).read_text() for name in listed.split() if not name.startswith("docs/archive/")}


PAGES = documentation()
BLOCKS = [block for page, text in PAGES.items() for block in blocks_of(page, text)]
TOLD = [block for block in BLOCKS if block.language in COMMANDS]
TO_RUN = [block for block in BLOCKS if block.language in (*COMMANDS, PYTHON) and "" not in block.left_out]


def named(block: Block) -> str:
    return f"{block.page}:{block.line}"


def parse(line: str) -> click.Context | None:
    """A command line of ours as click understands it. None: it is somebody else's."""
    found = OURS.search(line)
    if not found:
        return None
    command, words = importlib.import_module(MODULES[found[1]]).main, shlex.split(found[2])
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    return command.make_context(found[1], words)


def fault_of(line: str) -> str | None:
    """Why a program of this project would refuse a command line as wrong usage, if it would."""
    try:
        parse(line)
    except (click.ClickException, MdeError, KeyError, IndexError) as error:
        return f"{line}: {getattr(error, 'message', error)}"
    return None


@pytest.mark.parametrize("block", TOLD, ids=named)
def test_every_command_that_is_told_exists_with_its_options(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [fault for line in block.lines if (fault := fault_of(line))] == []


@pytest.mark.parametrize(
    "line", ["mde-export a --fp17", "mde-bundle verfy a.mde", "mde-predict a.mde b -o c --format jpg"]
)
def test_a_command_that_does_not_exist_would_be_found(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert line in (fault_of(line) or "")


def test_every_make_target_and_laboratory_module_that_is_told_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = "\n".join(line for block in TOLD for line in block.lines)
    assert set(re.findall(r"^make ([a-z-]+)", told, re.MULTILINE)) <= targets
    modules = [
        ROOT / name.replace(".", "/") for name in re.findall(r"python -m (lab\.[\w.]+)", "".join(PAGES.values()))
    ]
    assert [module for module in modules if not (module.is_dir() or module.with_suffix(".py").exists())] == []


def options_of(command: click.Command) -> set[str]:
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    inner = getattr(command, "commands", {}).values()
    return own.union({"-h", "--help", "--debug"}, *map(options_of, inner))


def test_every_option_that_the_text_names_beside_its_command_exists():
    spans = [(page, span) for page, text in PAGES.items() for span in re.findall(r"`(mde-[^`]+)`", text)]
    unknown = [
        (page, span, option)
        for page, span in spans
        if (found := OURS.match(span)) and page != "CHANGELOG.md"
        for option in re.findall(r"(?<=\s)--[a-z][\w-]*", found[2])
        if option not in options_of(importlib.import_module(MODULES[found[1]]).main)
    ]
    assert unknown == []


def test_every_mark_says_what_is_left_out_and_why():
    marks = [(named(block), block.mark) for block in BLOCKS if block.mark]
    assert [(where, mark) for where, mark in marks if not re.fullmatch(rf"(?:{MARK.pattern}): \S.+", mark)] == []


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """What the pages take for granted: a bundle, pictures, frames with depth, measured points."""
    folder = tmp_path_factory.mktemp("tour")
    for name in ("fast.mde", "model.mde"):
        (folder / name).symlink_to(ROOT / "samples/fast.mde")
    (folder / "samples").symlink_to(ROOT / "samples")
    (folder / "cache").mkdir(mode=0o700)
    street = Image.open(ROOT / "samples/street.jpeg").convert("RGB")
    (folder / "pictures").mkdir()
    for name in ("pictures/a.jpg", "pictures/b.jpg", "photo.jpg"):
        street.save(folder / name)
    with DepthEstimator.open(folder / "model.mde", backend="onnxruntime-cpu") as estimate:
        depth_m = estimate.picture(street)
    for data in ("scenes", "mine", "my_camera"):
        write_frames(folder / data, np.asarray(street), depth_m)
    write_points(folder, depth_m)
    return folder


def write_frames(folder: Path, frame: np.ndarray, depth_m: np.ndarray) -> None:
    """A data set of eight frames, each a little darker than the last."""
    for place in range(8):
        split, name = ("train", "val")[place % 2], str(place // 2)
        for kind in ("rgb", "depth"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        shade = (frame * (1 - 0.03 * place)).astype(np.uint8)
        Image.fromarray(shade).save(folder / "rgb" / split / f"{name}.jpeg", quality=95)
        np.save(folder / "depth" / split / f"{name}.npy", depth_m.astype(np.float32))


def write_points(folder: Path, depth_m: np.ndarray) -> None:
    """Sixteen distances that are 1.3 times the bundle's: a camera for which a gain is right."""
    height_px, width_px = depth_m.shape
    places = [
        (width_px * (1 + 2 * column) // 8, height_px * (5 + row) // 10) for row in range(4) for column in range(4)
    ]
    lines = [f"photo.jpg,{x},{y},{1.3 * depth_m[y, x]:.3f}" for x, y in places if 0.5 < depth_m[y, x] < 19]
    (folder / "points.csv").write_text("image,x,y,metres\n" + "\n".join(lines) + "\n")


@pytest.fixture
def folder(inputs, tmp_path, monkeypatch) -> Path:
    """A working folder of its own with the same inputs, and one cache for all."""
    for path in inputs.iterdir():
        if path.name != "cache":
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MDE_CACHE", str(inputs / "cache"))
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def outputs_of(context: click.Context) -> list[Path]:
    """The files and folders that a command was told to write."""
    written = [
        context.params[parameter.name]
        for parameter in context.command.params
        if parameter.type is OUTPUT or parameter.name == "out"
    ]
    return [path for path in written if path is not None]


def run(line: str) -> None:
    """Run a command line as a shell does; what it was told to write has to be there, and depth has to be depth."""
    context = parse(line)
    ended = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
    for path in outputs_of(context) if context else []:
        assert path.exists(), f"{line}: wrote no {path}"
        depths = [np.load(file) for file in path.glob("*.npy")] if path.is_dir() else []
        assert all(depth.ndim == 2 and depth.dtype == np.float32 for depth in depths)


@pytest.mark.timeout(240)  # seconds: two cores may be busy with other tests
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", sorted({block.page for block in TO_RUN}))
def test_the_blocks_of_a_page_run_one_after_the_other(page):
    names = {"DepthEstimator": DepthEstimator, "frame": np.zeros((144, 256, 3), np.uint8)}
    for block in (block for block in TO_RUN if block.page == page):
        if block.language == PYTHON:
            exec(compile(block.body, named(block), "exec"), names)
            continue
        for line in block.lines:
            if not line.startswith(block.left_out or ("\0",)):
                run(line)
