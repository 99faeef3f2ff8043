"""Every network becomes a graph that runs elsewhere with the same depth, and an engine."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from mde_export.graph.canonical import to_bytes
from mde_export.graph.graft import graft
from mde_export.sources.from_torch import onnx_from_torch
from mde_runtime.backends import open_session
from mde_runtime.contract import Contract
from mde_runtime.engines.build import BuildOptions, build_engine
from mde_train.depth_model import DepthModel, network_input
from mde_train.models import MODELS, build_model, model_named

NARROW = {"cnn-fc": {"width": 16}}  # 1.3 GB at full width
VARIATION_M = 1.5


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.randint(0, 256, (2, 144, 256, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=MODELS)
def deployed(request: pytest.FixtureRequest, frames: torch.Tensor) -> tuple[nn.Module, Contract, bytes]:
    """A network with random weights, a contract whose scale and shift make its depth vary by 1 to 2 m, its graph."""
    torch.manual_seed(0)
    network = build_model(request.param, **NARROW.get(request.param, {})).eval()
    contract = model_named(request.param).contract(144, 256)
    with torch.no_grad():
        quantity = network(network_input(frames, contract))
    scale = VARIATION_M / float(quantity.std())
    middle_m = (contract.from_network.near_m + contract.from_network.far_m) / 2
    fitted = dataclasses.replace(contract.from_network, scale=scale, shift=middle_m - scale * float(quantity.mean()))
    contract = dataclasses.replace(contract, from_network=fitted)
    return network, contract, to_bytes(graft(onnx_from_torch(network, contract), contract))


def test_a_models_graph_gives_its_depth(deployed: tuple[nn.Module, Contract, bytes], frames: torch.Tensor):
    network, contract, graph = deployed
    with torch.no_grad():
        depth_m, _ = DepthModel(network, contract)(frames[:1])
    assert 0.5 < float(depth_m.std()) < 2.5
    answer = open_session("onnxruntime-cpu", graph, num_threads=1).run({"frame": frames[:1].numpy()})
    np.testing.assert_allclose(answer["depth_m"], depth_m.numpy(), atol=0.01)  # the certificate's limit, 1 cm


def test_a_models_graph_writes_nothing_scattered_and_groups_as_its_network_does(
    deployed: tuple[nn.Module, Contract, bytes],
):
    import onnx

    network, _, graph = deployed
    nodes = onnx.load_from_string(graph).graph.node
    assert not [node.name for node in nodes if node.op_type.startswith("Scatter")]
    groups = {attribute.i for node in nodes for attribute in node.attribute if attribute.name == "group"}
    assert groups <= {1, *(part.groups for part in network.modules() if isinstance(part, nn.Conv2d))}


def test_a_models_graph_becomes_an_engine(deployed: tuple[nn.Module, Contract, bytes]):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has no wheel for this platform")
    engine = build_engine(deployed[2], "tensorrt-rtx", BuildOptions(compute_capabilities=("8.6",)))
    assert len(engine) > 100_000
