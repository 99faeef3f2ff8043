"""Write names.json anew: which names each TensorRT version's Python API has, of the classes that this project uses.

    python introspect.py WHEEL... > names.json

WHEEL: `tensorrt-cu12-bindings` wheels of one's own Python version (`pip download --no-deps`); the installed
tensorrt_rtx is read, too. Needs a C compiler and no GPU: the bindings load over stub libraries that hold the nine
functions that they look for.
"""

import ctypes
import importlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CLASSES = (
    *("Builder", "BuilderFlag", "EngineInspector", "ErrorCode", "HardwareCompatibilityLevel", "IBuilderConfig"),
    *("ICudaEngine", "IExecutionContext", "IHostMemory", "ILogger", "INetworkDefinition", "IOptimizationProfile"),
    *("IProgressMonitor", "IRuntimeCache", "IRuntimeConfig", "ITensor", "ITimingCache", "LayerInformationFormat"),
    *("MemoryPoolType", "NetworkDefinitionCreationFlag", "OnnxParser", "ParserError", "ProfilingVerbosity", "Runtime"),
    *("TensorIOMode", "ComputeCapability", "ILayer", "DataType"),
)
FUNCTIONS = (
    *("createInferBuilder_INTERNAL", "createInferRuntime_INTERNAL", "createInferRefitter_INTERNAL"),
    *("createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getBuilderPluginRegistry"),
    *("getPluginRegistry", "getNvOnnxParserVersion", "initLibNvInferPlugins"),
)


def names_of(module: object) -> dict[str, str]:
    """The public names of the module itself (under "", of those looked for here) and of each class that it has."""
    found = {"": " ".join(name for name in (*sorted(CLASSES), "nptype") if hasattr(module, name))}
    for name in found[""].split():
        found[name] = " ".join(member for member in dir(getattr(module, name)) if not member.startswith("_"))
    return found


def load_bindings(wheel: Path, folder: Path) -> object:
    """The module of a bindings wheel, over stub libraries."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    major = wheel.name.split("-")[1].split(".")[0]
    source = folder / "stub.c"
    source.write_text("".join(f"void* {name}(void) {{ return 0; }}\n" for name in FUNCTIONS))
    for library in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
        target = folder / f"lib{library}.so.{major}"
        subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{target.name}", "-o", target, source], check=True)
        ctypes.CDLL(str(target), mode=ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(folder))
    return importlib.import_module("tensorrt_bindings")


def main() -> None:
    """Introspect each wheel in a process of its own, since only one can be loaded in one."""
    if sys.argv[1] == "--one":
        with tempfile.TemporaryDirectory() as folder:
            json.dump(names_of(load_bindings(Path(sys.argv[2]), Path(folder))), sys.stdout)
        return
    found = {}
    for wheel in sys.argv[1:]:
        said = subprocess.run([sys.executable, __file__, "--one", wheel], check=True, capture_output=True).stdout
        found[f"tensorrt {Path(wheel).name.split('-')[1]}"] = json.loads(said)
    rtx = importlib.import_module("tensorrt_rtx")
    found[f"tensorrt-rtx {rtx.__version__}"] = names_of(rtx)
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
