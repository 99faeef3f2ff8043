"""The notebook that checks a GPU: whole, pinned, and nothing that needs the GPU before it is asked for."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cells():
    content = json.loads((ROOT / "lab" / "gpu_check.ipynb").read_text())["cells"]
    return [cell for cell in content if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def sources(cells):
    return ["".join(cell["source"]) for cell in cells]


def test_every_cell_is_python_and_carries_no_output_that_could_grow_old(cells, sources):
    for source in sources:
        ast.parse(source)
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)


def test_every_package_is_pinned_to_one_version_and_to_ours_where_we_have_one(sources):
    ours = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if re.match(r"[\w-]+==[\d.]+$", line)
    )
    named = dict(re.findall(r'"([a-z][\w-]+)==([\d.]+)"', "\n".join(sources)))
    assert {"cuda-bindings", "nvidia-ml-py", "polygraphy", "pytest"} <= set(named)
    assert {name: named[name] for name in ours.keys() & named} == {name: ours[name] for name in ours.keys() & named}


def test_both_tensorrts_are_installed_after_the_gpu_was_found(sources):
    places = {
        word: number
        for number, source in enumerate(sources)
        for word in ("open_cuda()", "check(name, package)")
        if word in source
    }
    assert places["open_cuda()"] < places["check(name, package)"]
    assert sources[0].count("tensorrt-cu12==") == 2


def test_all_that_it_found_is_one_json(sources):
    assert "json.dumps(result" in sources[-1]
