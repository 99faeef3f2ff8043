"""Every name of TensorRT's API that our code says exists in every version that it is for.

The names were read from the bindings of these versions (tensorrt_names/introspect.py); a call of one that a version
lacks would else show itself only on a robot.
"""

import ast
import json
from pathlib import Path

import pytest

import mde_runtime

NAMES = json.loads((Path(__file__).parent / "tensorrt_names" / "names.json").read_text())
PACKAGE = Path(mde_runtime.__file__).parent
FILES = ("engines/build.py", "engines/build_log.py", "backends/tensorrt.py")
# What our code calls the library's objects. "" is the library itself.
OBJECTS = {
    "library": "",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "error": "ParserError",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
    "layer": "ILayer",
    "tensor": "ITensor",
}
ONLY_RTX = {  # asked for by flavour, and by nothing else
    ("library", "ComputeCapability"),
    ("config", "num_compute_capabilities"),
    ("config", "set_compute_capability"),
    ("engine", "create_runtime_config"),
    ("config", "create_runtime_cache"),
    ("config", "set_runtime_cache"),
}


def said_names() -> set[tuple[str, str]]:
    """Every (object, name) of the library that our code says, those of its enums as (object.enum, name)."""
    found = set()
    for file in FILES:
        for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
            if isinstance(node, ast.Attribute):
                said = ast.unparse(node).split(".")
                if said[0] in OBJECTS and len(said) == 2:
                    found.add((said[0], said[1]))
                elif said[0] == "library" and len(said) == 3:
                    found.add((f"library.{said[1]}", said[2]))
    return {pair for pair in found if not pair[1].startswith("__")}


def has(version: str, said_object: str, name: str) -> bool:
    if (
        said_object == "config"
        and "IRuntimeConfig" in NAMES[version]
        and name in NAMES[version]["IRuntimeConfig"].split()
    ):
        return True
    kind = said_object.removeprefix("library.") if "." in said_object else OBJECTS[said_object]
    return name in NAMES[version].get(kind, "").split()


def test_the_versions_of_the_boards_are_held():
    held = {version.split(".")[0] + "." + version.split(".")[1] for version in NAMES}
    assert {"tensorrt 10.3", "tensorrt 10.7", "tensorrt 10.13", "tensorrt 10.16", "tensorrt 11.4"} <= held


def test_our_code_is_read():
    assert {("builder", "build_serialized_network"), ("library.BuilderFlag", "TF32")} <= said_names()


@pytest.mark.parametrize("version", NAMES)
def test_every_name_that_we_say_exists(version):
    said = said_names() if version.startswith("tensorrt-rtx") else said_names() - ONLY_RTX
    assert sorted(pair for pair in said if not has(version, *pair)) == []


def test_a_name_that_went_away_would_be_found():
    assert has("tensorrt 10.3.0", "library.BuilderFlag", "FP16")
    assert not has("tensorrt 11.4.0.106", "library.BuilderFlag", "FP16")


STAND_IN = Path(__file__).parents[1] / "stand_in_tensorrt"


def names_of_the_stand_in(file: str) -> set[tuple[str, str]]:
    """Every (class, public name) that the stand-in has."""
    found = set()
    for made in ast.parse((STAND_IN / file).read_text()).body:
        if isinstance(made, ast.ClassDef) and not made.name.startswith("_"):
            for node in ast.walk(made):
                if isinstance(node, ast.FunctionDef):
                    found.add((made.name, node.name))
                elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("self."):
                    found.add((made.name, ast.unparse(node).split(".")[1]))
            members = [node.targets[0] for node in made.body if isinstance(node, ast.Assign)]
            found |= {(made.name, member.id) for member in members if isinstance(member, ast.Name)}
    return {(kind, name) for kind, name in found if not name.startswith("_")}


def lacking(names: set[tuple[str, str]], version: str) -> list[tuple[str, str]]:
    return sorted((kind, name) for kind, name in names if name not in NAMES[version].get(kind, "").split())


@pytest.mark.parametrize("version", [version for version in NAMES if "rtx" not in version])
def test_the_stand_in_has_no_name_that_the_library_lacks(version):
    assert lacking(names_of_the_stand_in("fake_tensorrt.py"), version) == []
    assert lacking({("IExecutionContext", "execute_async_v9")}, version)


def test_the_stand_in_of_rtx_has_no_name_that_the_library_lacks():
    (version,) = (version for version in NAMES if "rtx" in version)
    assert lacking(names_of_the_stand_in("tensorrt_rtx.py"), version) == []
