"""The law: a published network's graph gives what its publisher's own pipeline gives, on any picture of its size."""

import numpy as np
import pytest

pytest.importorskip("transformers")

from lab.public_networks.law import compared, random_picture, worst
from lab.public_networks.publisher import publishers_depth
from lab.public_networks.small import SMALL, save_small
from mde_export.graph.canonical import stripped, to_bytes
from mde_export.graph.graft import graft
from mde_export.judge.execute import Executor
from mde_export.request.request import Request
from mde_export.sources import open_source

SIZES = {"depth_anything-metric": (97, 211), "glpn": (101, 75), "zoedepth": (203, 95)}  # odd ones; else a plain one


@pytest.mark.parametrize("name", SMALL)
def test_the_graph_gives_what_the_publishers_pipeline_gives(name, tmp_path):
    folder, size = save_small(name, tmp_path / name), SIZES.get(name, (120, 160))
    request = Request(f"hf:{folder}", source_size=size, **SMALL[name].options)
    source = open_source(request)
    contract = request.calibrated(source.contract)
    graph = Executor(to_bytes(stripped(graft(source.network(), contract))), literal=True)
    chance = np.random.default_rng(7)
    pictures = [random_picture(size, chance) for _ in range(2)]
    found = worst(
        compared(
            lambda frame: graph.run({"frame": frame[None]})["depth_m"][0],
            publishers_depth(folder, contract),
            pictures,
            contract.from_network,
        )
    )
    assert found.keeps_the_law, found
