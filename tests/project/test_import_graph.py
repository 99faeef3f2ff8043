"""Nothing imports in a circle, neither modules nor the rooms of a package."""

import graphlib
from collections.abc import Iterable

import grimp
import pytest

PACKAGES = ("mde_runtime", "mde_train", "mde_export", "mde_bench", "lab")
MAX_ROOMS = {"mde_export": 16, "mde_bench": 12}  # files and folders directly inside, without __init__


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES)


def circle_in(arrows: Iterable[tuple[str, str]]) -> list[str]:
    """The nodes of a circle, the first again at its end; empty where there is none."""
    sorter = graphlib.TopologicalSorter()
    for importer, imported in arrows:
        sorter.add(importer, imported)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def room_of(module: str, depth: int) -> str:
    return ".".join(module.split(".")[: depth + 1])


def arrows_between(graph: grimp.ImportGraph, package: str, depth: int) -> set[tuple[str, str]]:
    """Imports between the rooms of a package; depth 1: files and folders directly inside."""
    inside = [module for module in graph.modules if module.startswith(f"{package}.")]
    pairs = {
        (room_of(module, depth), room_of(imported, depth))
        for module in inside
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.startswith(f"{package}.")
    }
    return {(importer, imported) for importer, imported in pairs if importer != imported}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_in_a_circle(graph, package):
    modules = [module for module in graph.modules if module.startswith(package)]
    arrows = [(module, other) for module in modules for other in graph.find_modules_directly_imported_by(module)]
    assert circle_in(arrows) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_of_a_package_imports_in_a_circle(graph, package):
    assert circle_in(arrows_between(graph, package, depth=1)) == []


@pytest.mark.parametrize(("package", "most"), MAX_ROOMS.items())
def test_a_package_has_few_enough_rooms_to_be_seen_at_once(graph, package, most):
    rooms = {room_of(module, 1) for module in graph.modules if module.startswith(f"{package}.")}
    assert len(rooms) <= most, sorted(rooms)


def test_a_circle_would_be_found():
    assert circle_in([("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")])[0] in "abc"
