"""Tests over stand-ins of CUDA's driver and of TensorRT: `make test-cuda` runs those of CUDA with every driver that the
project supports.

Each version of cuda-bindings, and pycuda, lies in a folder of its own under build/, so that they never meet; the rest
comes from this environment. `make test` runs the same tests with the cuda-bindings of `.venv`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "tests" / "stand_in_cuda"
DRIVERS = ROOT / "build" / "cuda"
BINDINGS = "not pycuda"  # as pytest's -k has it
TESTS = ("tests/runtime/test_cuda.py", "tests/stand_in_cuda")
TENSORRT = ROOT / "tests" / "stand_in_tensorrt"
TENSORRT_TESTS = (  # all that are marked `gpu` and need no onnxruntime-gpu, torch or speed
    *("tests/stand_in_tensorrt", "tests/runtime/test_engine_session.py", "tests/runtime/test_backends.py"),
    *("tests/runtime/test_doctor.py", "tests/bench/timing/test_on_gpu.py"),
)
WITHOUT = "not onnxruntime and not takes_no_frame"  # its CUDA is another package; no engine is built from such a graph
VERSIONS = {  # the oldest that is supported, the last and first of a major version, and the newest
    "cuda-bindings==12.8.0": BINDINGS,
    "cuda-bindings==12.9.10": BINDINGS,
    "cuda-bindings==13.0.3": BINDINGS,
    "cuda-bindings==13.5.0": BINDINGS,
    "pycuda==2026.1": "not cuda-bindings and not whichever and not twice and not without_a_context and not captur",
}
# pycuda refuses by itself what `twice` and `without_a_context` check, and keeps a stack of contexts that a failing call
# puts out of step. It has no graphs, so nothing is captured.
TOOLKIT = Path("/usr/local/cuda")
CANNOT = 4  # exit code: this machine cannot


def main() -> int:
    """Run the tests with every version, or those that were named; give the first exit code that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", metavar="PACKAGE==VERSION", default=list(VERSIONS), help=", ".join(VERSIONS))
    parser.add_argument("--installed", action="store_true", help="with the cuda-bindings of this environment alone")
    arguments = parser.parse_args()
    if arguments.installed:
        return run_tests(BINDINGS) or run_tests(f"{BINDINGS} and {WITHOUT}", tests=TENSORRT_TESTS, first=(TENSORRT,))
    codes = []
    for package in arguments.only:
        sys.stderr.write(f"{package} ...\n")
        codes.append(install(package) or run_tests(VERSIONS[package], folder_of(package)))
    return next(filter(None, codes), 0)


def folder_of(package: str) -> Path:
    """Where a driver's package lies."""
    return DRIVERS / package.replace("==", "-")


def install(package: str) -> int:
    """Put a package into its folder, unless it is there; give the exit code. pycuda is compiled, for some minutes."""
    folder = folder_of(package)
    if folder.exists():
        return 0
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    code = (
        compile_pycuda(package, draft) if package.startswith("pycuda") else pip("install", "--target", draft, package)
    )
    if code:
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.rename(folder)
    return code


def compile_pycuda(package: str, target: Path) -> int:
    """Compile pycuda without cuRAND against the stand-in, which the linker needs; give the exit code."""
    library = built()
    if library is None or not (TOOLKIT / "bin" / "nvcc").exists():
        sys.stderr.write(f"{package} is compiled with CUDA's toolkit in {TOOLKIT}; install it there\n")
        return CANNOT
    with tempfile.TemporaryDirectory() as name:
        if code := pip("download", "--no-deps", "--no-binary", "pycuda", "--dest", name, package):
            return code
        (archive,) = Path(name).glob("*.tar.gz")
        shutil.unpack_archive(archive, name, filter="data")
        source = archive.with_name(archive.name.removesuffix(".tar.gz"))
        (source / "siteconf.py").write_text(f"CUDA_ENABLE_CURAND = False\nCUDA_ROOT = {str(TOOLKIT)!r}\n")
        path = f"{TOOLKIT / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return pip("install", "--target", target, source, PATH=path, CUDA_ROOT=str(TOOLKIT), LIBRARY_PATH=library)


def pip(verb: str, *arguments: object, **environment: str) -> int:
    """Run pip; give its exit code."""
    command = (sys.executable, "-m", "pip", verb, "-q", "--disable-pip-version-check", *map(str, arguments))
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


def built() -> str | None:
    """The folder of the stand-in's library, built where that is needed; None where it cannot be, which it says."""
    ended = subprocess.run([sys.executable, str(SOURCES / "build.py")], stdout=subprocess.PIPE, text=True, check=False)
    return None if ended.returncode else ended.stdout.strip()


def run_tests(chosen: str, *packages: Path, tests: tuple[str, ...] = TESTS, first: tuple[Path, ...] = ()) -> int:
    """Run tests over the stand-in with the packages first on the path; give pytest's exit code.

    first: folders whose modules stand in for others. A test that skips itself fails: what it needs is here.
    """
    library = built()
    if library is None:
        return CANNOT
    paths = (*map(str, (*packages, *first, SOURCES, ROOT / "scripts")), os.environ.get("PYTHONPATH", ""))
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": library,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": "1",
    }
    pytest = (sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "counted_cuda", "-p", "no_skips", "-k", chosen)
    return subprocess.run([*pytest, *tests], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
