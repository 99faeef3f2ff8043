"""Make `.venv` whole: what `make` runs first. Standard library only, since nothing is installed yet.

Says what it will download before it starts, does nothing in milliseconds when nothing changed, and goes on where an
interrupted run stopped. `make demo` and `make test` need no other set-up.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib.util
import json
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "environment.json"  # what a finished set-up was made from
UNFINISHED = VENV / "unfinished"  # there from the start of a set-up to its end
INPUTS = ("setup.cfg", "constraints.txt", "scripts/environment.py")
EXTRAS = "train,export,hf,openvino,video,bag,bench,docs,dev"
ROOMS = ("train", "export", "runtime", "bench")
OLDEST = (3, 10)
CANNOT = 4  # exit code: this machine cannot
INTERRUPTED = 130

# Measured on Linux x86-64 with Python 3.11: sums of the wheels' sizes, and of the folder afterwards.
DOWNLOAD_GB = {"CPU": 0.6, "CUDA": 3.1}
DISK_GB = {"CPU": 2.4, "CUDA": 7.2}


class SetupError(Exception):
    """This machine cannot be set up: what is missing, and what to do."""


def main() -> int:
    """Bring `.venv` up to date; give the exit code."""
    if sys.version_info < OLDEST:
        say(f"Python {platform.python_version()} is too old: 3.10 or newer is needed; name one: make PYTHON=python3.12")
        return CANNOT
    if _stamp() == _wanted() and PYTHON.exists():
        return 0
    try:
        set_up()
    except SetupError as error:
        say(str(error))
        return CANNOT
    except KeyboardInterrupt:
        say("interrupted; the same make goes on from here")
        return INTERRUPTED
    return 0


def set_up() -> None:
    """Create what is missing, stage by stage, and stamp it."""
    is_new, is_finished = not VENV.exists(), STAMP.exists()
    say(
        f"Bringing {VENV.name} up to date: only what changed is downloaded, in a minute or less"
        if is_finished
        else f"Setting up {VENV.name} with Python {platform.python_version()}, once; what is there already is kept"
    )
    started = time.perf_counter()
    with stage("virtual environment"):
        if UNFINISHED.exists():
            forget_half_installed()
        VENV.mkdir(exist_ok=True)
        UNFINISHED.touch()
        create_venv()
    if not is_finished:
        build = torch_build(PYTHON)
        announce(build)
        check_disk(build, is_new=is_new)
    with stage("torch"):  # on its own: the largest, and the one whose build you may choose
        pip("torch")
    with stage("everything else"):
        pip("-e", f"{ROOT}[{EXTRAS}]")
        show_rooms_to_type_checkers()
    with stage("TensorRT-RTX"):
        notes = add_tensorrt_rtx()
    for note in (*notes, *missing_tools()):
        say(f"  note: {note}")
    UNFINISHED.unlink(missing_ok=True)  # --clear took it along
    STAMP.write_text(json.dumps(_wanted()))
    say(f"  .venv is ready after {time.perf_counter() - started:.0f} s\n")


def torch_build(python: Path) -> str | None:
    """The build of torch that pip takes as it is configured here: CPU or CUDA; None where pip cannot say.

    Of one version, pip prefers a build with a label, such as +cpu, wherever it finds one: in a folder of find-links, or
    on an extra index.
    """
    asked = subprocess.run(
        [python, "-m", "pip", "index", "versions", "torch"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    (tested,) = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    (listed,) = re.findall(r"^Available versions: (.*)$", asked.stdout, re.MULTILINE) or [""]
    found = [version for version in listed.split(", ") if version.partition("+")[0] == tested]
    if not found:
        return None
    return "CPU" if f"{tested}+cpu" in found or sys.platform == "darwin" else "CUDA"


def announce(build: str | None) -> None:
    """Say how much will be downloaded, how much disk it needs and how long it takes, before anything is downloaded."""
    has_gpu = shutil.which("nvidia-smi") is not None
    builds = [build] if build else ["CUDA"] if has_gpu else ["CPU", "CUDA"]
    download, disk = (
        " or ".join(f"{sizes[build]} GB ({build} build of torch)" for build in builds)
        for sizes in (DOWNLOAD_GB, DISK_GB)
    )
    say(f"  download  about {download}")
    say(f"  disk      about {disk}")
    say("  time      2 to 5 minutes on a fast line; interrupt it when you like, the same make goes on")
    if "CUDA" in builds and not has_gpu:
        say("  no NVIDIA GPU here: the CUDA build works, but is large. For the CPU build, interrupt this, look up its")
        say("  package index on https://pytorch.org/get-started/locally/ (Compute Platform: CPU), and start again with")
        say("  PIP_EXTRA_INDEX_URL=<that index> make ...")


def check_disk(build: str | None, *, is_new: bool) -> None:
    """Raises SetupError where a new environment does not fit on the disk."""
    free_gb, needed_gb = shutil.disk_usage(ROOT).free / 1e9, DISK_GB[build or "CPU"]
    if is_new and free_gb < needed_gb:
        raise SetupError(f"{ROOT}: {free_gb:.1f} GB free, about {needed_gb} GB needed; make room and run make again")


def create_venv() -> None:
    """Make `.venv`, or finish or renew it. Raises SetupError where Python came without the parts for it."""
    clear = "--clear" if _is_for_another_place() else None
    if importlib.util.find_spec("ensurepip"):
        run(sys.executable, "-m", "venv", *filter(None, [clear]), VENV)
    elif importlib.util.find_spec("pip"):
        run(sys.executable, "-m", "venv", "--without-pip", *filter(None, [clear]), VENV)
        run(sys.executable, "-m", "pip", "--python", PYTHON, "install", "-qq", "pip")
    else:
        raise SetupError(
            "this Python cannot put pip into a virtual environment; on Debian and Ubuntu: "
            "sudo apt-get install python3-venv; then run the same make again"
        )


def _is_for_another_place() -> bool:
    """Whether `.venv` was made by another Python or before the folder moved: its scripts hold absolute paths."""
    try:
        lines = (VENV / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return False
    version = dict(line.split(" = ", 1) for line in lines if " = " in line).get("version", "")
    made_elsewhere = _stamp().get("root", str(ROOT)) != str(ROOT)
    return made_elsewhere or tuple(version.split(".")[:2]) != tuple(map(str, sys.version_info[:2]))


def forget_half_installed() -> None:
    """Let pip see as absent what an interrupted pip left incomplete: it would otherwise count as installed."""
    for site in VENV.glob("lib/python*/site-packages"):
        for metadata in site.glob("*.dist-info"):
            if not _is_complete(site, metadata / "RECORD"):
                say(f"  {metadata.name.removesuffix('.dist-info')} was only half installed; installing it again")
                shutil.rmtree(metadata)


def _is_complete(site: Path, record: Path) -> bool:
    """Whether every file that a package's RECORD lists is there, whole.

    A wheel brings a RECORD; the installer puts its own in its place at the very end, and that one lists INSTALLER.
    """
    if not record.exists():
        return False
    with record.open(newline="") as lines:
        rows = list(csv.reader(lines))
    if not any(name.endswith(".dist-info/INSTALLER") for name, *_ in rows):
        return False
    sizes = {site / name: size for name, _, size, *_ in rows}
    return all(path.exists() and (not size or path.stat().st_size == int(size)) for path, size in sizes.items())


def show_rooms_to_type_checkers() -> None:
    """Name the four source roots to mypy and Pylance, which do not run the import hook of an editable install."""
    for site in VENV.glob("lib/python*/site-packages"):
        (site / "mde_toolchain_rooms.pth").write_text("".join(f"{ROOT / room}\n" for room in ROOMS))


def add_tensorrt_rtx() -> list[str]:
    """Install TensorRT-RTX where it exists. Optional: gives a line to print where it does not."""
    if sys.platform == "darwin":
        return ["TensorRT-RTX does not exist for macOS: no engine is built here, all else runs"]
    try:
        pip("tensorrt-rtx")
    except SetupError:
        return [f"TensorRT-RTX cannot be installed on {platform.machine()}: no engine is built here, all else runs"]
    return []


def missing_tools() -> list[str]:
    """A line for each optional tool that this machine lacks."""
    notes = []
    if not any(map(shutil.which, ("chromium", "google-chrome"))):
        notes.append("no Chromium: tests that open the report in a browser are skipped; install chromium to run them")
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        notes.append("no C compiler: only a package without a wheel for this machine would need one")
    return notes


def pip(*packages: str) -> None:
    """Install with the tested versions. A terminal sees pip's progress, a log only its errors."""
    quiet = () if sys.stderr.isatty() else ("-qq",)
    run(
        PYTHON, "-m", "pip", "install", *quiet, "--disable-pip-version-check", "-c", ROOT / "constraints.txt", *packages
    )


def run(*command: object) -> None:
    """Run a command to its end. Raises SetupError when it fails."""
    words = [str(word) for word in command]
    if code := subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL).returncode:
        raise SetupError(f"exit code {code} from {' '.join(words)}; mend what it says above, then run make again")


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Name a part of the work, and say how long it took."""
    say(f"  {name} ...")
    started = time.perf_counter()
    yield
    say(f"  {name}: {time.perf_counter() - started:.1f} s")


def say(text: str) -> None:
    """Talk to the person at the terminal."""
    sys.stderr.write(f"{text}\n")


def _wanted() -> dict[str, str]:
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return {"inputs": digest.hexdigest(), "python": platform.python_version(), "root": str(ROOT)}


def _stamp() -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(STAMP.read_text())
        return found
    except (OSError, ValueError):
        return {}


if __name__ == "__main__":
    sys.exit(main())
