"""Build the stand-ins of CUDA's driver and of NVML: `python build.py` prints the folder of their libraries.

The headers are NVIDIA's, from PyPI's nvidia-cuda-runtime of this environment or from a CUDA toolkit. A library that was
built from the same sources is taken as it is.
"""

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = ("fake_cuda.c", "fake_cuda.h", "fake_nvml.c", "build.py")
TOOLKIT = Path("/usr/local/cuda/include")
OTHER_NAMES = {("cuGraphInstantiate", 12000): "cuGraphInstantiateWithFlags"}  # a version whose symbol is not base_vN
FLAGS = ("-O1", "-g", "-fPIC", "-shared", "-pthread", "-Wall", "-Wextra", "-Wno-builtin-declaration-mismatch")


def main() -> int:
    """Print the folder; exit 4 with the package that is missing."""
    try:
        print(build())  # noqa: T201  the answer of a program
    except FileNotFoundError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 4
    return 0


def build() -> Path:
    """The folder that holds libcuda.so.1. Raises FileNotFoundError that names the package that is missing."""
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        raise FileNotFoundError("the stand-in of CUDA's driver needs gcc; sudo apt-get install gcc libc6-dev")
    include = headers()
    digest = hashlib.sha256(
        str(include).encode() + b"".join((HERE / name).read_bytes() for name in SOURCES)
    ).hexdigest()
    folder = HERE / "build" / digest[:16]
    library = folder / "libcuda.so.1"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"libcuda.{os.getpid()}"
        stubs = folder / f"stubs.{os.getpid()}.c"
        write_stubs(include, HERE / "fake_cuda.c", stubs)
        source = (str(HERE / "fake_cuda.c"), str(stubs))
        paths = (f"-I{include}", f"-I{HERE}", "-Wl,-soname,libcuda.so.1", "-o", str(draft))
        subprocess.run([compiler, *FLAGS, *paths, *source], check=True)
        management = ("-Wl,-soname,libnvidia-ml.so.1", "-o", str(folder / "libnvidia-ml.so.1"))
        subprocess.run([compiler, *FLAGS, *management, str(HERE / "fake_nvml.c")], check=True)
        draft.replace(library)
        (folder / "libcuda.so").symlink_to(library.name)  # a linker's name for it
        stubs.unlink()
    return folder


def headers() -> Path:
    """The folder of cuda.h."""
    for package in ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12"):
        try:
            listed = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for path in listed:
            if path.name == "cudaTypedefs.h":
                return Path(str(path.locate())).parent
    if (TOOLKIT / "cudaTypedefs.h").exists():
        return TOOLKIT
    raise FileNotFoundError("the stand-in of CUDA's driver needs cuda.h; install it: pip install nvidia-cuda-runtime")


def write_stubs(include: Path, source: Path, target: Path) -> None:
    """A stub for every function of the driver that the source lacks, and the table of cuGetProcAddress."""
    typedefs = "".join((include / f"{name}Typedefs.h").read_text() for name in ("cuda", "cudaProfiler"))
    header = (include / "cuda.h").read_text()
    entries = sorted(entries_of(typedefs), key=lambda entry: (entry[0], -entry[1]))
    declared = set(re.findall(r"CUresult (?:CUDAAPI )?(cu[A-Z]\w+)\(", header))
    done = set(re.findall(r"^CUresult CUDAAPI (cu\w+)\(", source.read_text(), re.MULTILINE))
    named = {symbol for _, _, symbol in entries}
    stubs = sorted((named | declared) - done)
    lines = ["#include <stddef.h>", "int fake_cuda_unsupported(const char *name);", ""]
    lines += [f'int {symbol}(void) {{ return fake_cuda_unsupported("{symbol}"); }}' for symbol in stubs]
    lines += ["", *(f"extern int {symbol}();" for symbol in sorted(named & done))]
    lines += ["struct entry { const char *base; int version; void *function; };"]
    lines += ["const struct entry FAKE_CUDA_ENTRIES[] = {"]
    lines += [f'    {{"{base}", {version}, (void *){symbol}}},' for base, version, symbol in entries]
    target.write_text("\n".join([*lines, "    {NULL, 0, NULL},\n};\n"]))


def entries_of(typedefs: str) -> list[tuple[str, int, str]]:
    """Base name, the CUDA version that brought it, and the symbol: `base`, then `base_v2` and so on."""
    versions: dict[str, set[int]] = defaultdict(set)
    for base, version, suffix in re.findall(r"PFN_(cu\w+?)_v(\d+)(_ptsz|_ptds)?\b", typedefs):
        if not suffix:  # the per-thread default stream is the default stream here
            versions[base].add(int(version))
    found = [
        (base, version, base if number == 1 else f"{base}_v{number}")
        for base, known in versions.items()
        for number, version in enumerate(sorted(known), 1)
    ]
    return found + [(base, version, symbol) for (base, version), symbol in OTHER_NAMES.items()]


if __name__ == "__main__":
    sys.exit(main())
