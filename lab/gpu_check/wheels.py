"""A folder of wheels for this run alone: installed beside the machine's own packages, which stay as they are."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.gpu_check.lines import Line
from mde_runtime import files
from mde_runtime.command import say
from mde_runtime.errors import BadInputError, MachineError

PART = "libraries"


@dataclass(frozen=True)
class Library:
    """What a part needs beyond numpy, click, pillow and rich."""

    package: str  # as pip names it
    module: str
    needed_by: str


LIBRARIES = (
    Library("torch", "torch", "bench, train"),
    Library("torchvision", "torchvision", "bench, train"),
    Library("lightning", "lightning", "train"),
    Library("tensorboard", "tensorboard", "train"),
    Library("scipy", "scipy", "train"),
    Library("h5py", "h5py", "train"),
    Library("onnx", "onnx", "tests, bench, train"),
    Library("onnx-ir", "onnx_ir", "bench, train"),
    Library("onnxscript", "onnxscript", "bench, train"),
    Library("onnxruntime-gpu", "onnxruntime", "tests, bench, train"),
    Library("cuda-bindings", "cuda.bindings", "tests (a driver of CUDA), TensorRT's rows"),
    Library("pycuda", "pycuda", "tests (the other driver of CUDA)"),
    Library("tensorrt-rtx", "tensorrt_rtx", "TensorRT-RTX's rows"),
    Library("tensorrt-cu13", "tensorrt", "TensorRT's rows"),
    Library("pytest", "pytest", "tests"),
    Library("pytest-timeout", "pytest_timeout", "tests"),
)


def install(wheels: Path, site: Path) -> None:
    """Install every wheel of a folder into `site`, for this process and all that it starts.

    No index is asked, and what the wheels need is not looked for: what is missing is named by `lines_of_libraries`.
    """
    found = sorted(wheels.glob("*.whl"))
    if not found:
        raise BadInputError(f"{wheels}: holds no wheel")
    mark, names = site / "installed.txt", "\n".join(path.name for path in found)
    if not mark.exists() or mark.read_text() != names:
        _install(found, site)
        files.write_text(mark, names)
    sys.path.insert(0, str(site))
    _put_first("PYTHONPATH", [str(site)])
    _put_first("LD_LIBRARY_PATH", library_folders())


def _install(found: list[Path], site: Path) -> None:
    say(f"installing {len(found)} wheels into {site} ...")
    options = ("--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade", "--target", str(site))
    command = [sys.executable, "-m", "pip", "install", *options, *map(str, found)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise MachineError(f"pip cannot install these wheels: {(ended.stderr.splitlines() or [''])[-1]}")


def library_folders() -> list[str]:
    """Where pip put NVIDIA's libraries. Libraries look for them beside themselves, and the wheels lie elsewhere."""
    roots = (Path(entry) / "nvidia" for entry in sys.path)
    return [str(folder) for root in roots if root.is_dir() for folder in sorted(root.glob("*/lib"))]


def _put_first(name: str, folders: list[str]) -> None:
    """In a list of folders of the environment that this process's children inherit."""
    os.environ[name] = os.pathsep.join(filter(None, (*folders, os.environ.get(name))))


def lines_of_libraries() -> list[Line]:
    """A line for every library that is not here: what it costs."""
    missing = [library for library in LIBRARIES if not _is_here(library.module)]
    return [Line(PART, it.package, "absent", {}, f"not installed here; needed by: {it.needed_by}") for it in missing]


def versions() -> dict[str, str]:
    """The version of everything that is here."""
    here = {distribution.name.lower(): distribution.version for distribution in importlib.metadata.distributions()}
    packages = ("numpy", *(library.package for library in LIBRARIES))
    return {name: version for name in packages if (version := here.get(name) or here.get(name.replace("-", "_")))}


def _is_here(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False
