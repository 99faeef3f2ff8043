from collections import defaultdict
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SAMPLES = "mde_runtime.samples"  # the folder samples/, which has no code
ROOMS = {"mde_train": "train", "mde_export": "export", "mde_runtime": "runtime", "mde_bench": "bench"}


@pytest.fixture
def constraints(root):
    """constraints.txt: the pins of each package."""
    pins = defaultdict(list)
    for line in (root / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            pins[canonicalize_name(Requirement(line).name)].append(Requirement(line))
    return pins


def test_every_package_of_the_tree_is_in_the_wheel_and_no_other(root, settings):
    tree = {
        ".".join(file.parent.relative_to(root / room).parts)
        for package, room in ROOMS.items()
        for file in (root / room / package).rglob("*.py")
    }
    assert sorted(settings["options"]["packages"].split()) == sorted(tree | {SAMPLES})


def test_every_package_has_an_init(root, settings):
    folders = [
        root / ROOMS[name.split(".")[0]] / name.replace(".", "/")
        for name in settings["options"]["packages"].split()
        if name != SAMPLES
    ]
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_room_says_that_it_is_typed(root):
    assert [package for package, room in ROOMS.items() if not (root / room / package / "py.typed").exists()] == []


def test_a_robot_installs_four_libraries(settings):
    names = {Requirement(line).name for line in settings["options"]["install_requires"].split("\n") if line}
    assert names == {"numpy", "click", "pillow", "rich"}


def test_no_extra_pulls_in_what_a_jetson_brings_itself(settings):
    pulled_in = {
        (extra, Requirement(line).name)
        for extra, lines in settings["options.extras_require"].items()
        for line in lines.split("\n")
        if line and not line.startswith("#")
    }
    assert {extra for extra, name in pulled_in if name == "tensorrt"} == {"tensorrt"}
    assert {extra for extra, name in pulled_in if name == "onnxruntime-gpu"} == {"gpu"}


def test_the_tested_set_lies_within_what_may_be_installed(settings, constraints):
    allowed = [
        Requirement(line)
        for lines in (settings["options"]["install_requires"], *settings["options.extras_require"].values())
        for line in lines.split("\n")
        if line and not line.startswith("#")
    ]
    outside = [
        (str(pin), str(expected))
        for expected in allowed
        for pin in constraints.get(canonicalize_name(expected.name), [])
        if not all(expected.specifier.contains(one.version) for one in pin.specifier)
    ]
    assert outside == []


def test_every_python_that_is_promised_has_one_version_of_each_tested_package(constraints):
    for python_version in ("3.10", "3.11", "3.12", "3.13"):
        for name, pins in constraints.items():
            here = [pin for pin in pins if not pin.marker or pin.marker.evaluate({"python_version": python_version})]
            assert len(here) == 1, f"{name} on Python {python_version}"


def test_the_installed_commands_are_those_of_the_documentation(root):
    commands = {point.name for point in distribution("mde-toolchain").entry_points}
    readme = (root / "README.md").read_text()
    assert {name for name in commands if name not in readme} == set()
