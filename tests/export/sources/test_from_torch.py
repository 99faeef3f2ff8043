"""A PyTorch network becomes the same few nodes on every machine, and nothing of the machine goes with them."""

import importlib.util
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from mde_export.graph.canonical import IR_VERSION, OPSET, from_bytes, to_bytes
from mde_export.sources.from_torch import onnx_from_torch
from mde_runtime.backends import open_session
from mde_runtime.errors import BadInputError

SOURCE = """
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5),
        nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 1, 1),
    )
"""


def network_from(folder, note):
    """The network of a source file in `folder`, always with the same weights; `note` moves its lines."""
    folder.mkdir()
    file = folder / "net.py"
    file.write_text(f"# {note}\n" * len(note) + SOURCE)
    spec = importlib.util.spec_from_file_location("net", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(3)
    network = module.build()
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
    return network


@pytest.fixture(scope="module")
def exports(tmp_path_factory, contract):
    """The same network exported from two folders, from sources whose lines differ: network and graph of each."""
    folder = tmp_path_factory.mktemp("sources")
    networks = [network_from(folder / name, name) for name in ("here", "elsewhere")]
    return [(network, to_bytes(onnx_from_torch(network, contract()))) for network in networks]


def test_the_graph_is_the_same_bytes_from_any_folder_and_holds_no_path(exports):
    (_, here), (_, elsewhere) = exports
    assert here == elsewhere
    assert b"net.py" not in here
    assert b"torch" not in here


def test_batchnorm_is_folded_into_both_kinds_of_convolution_and_dropout_is_gone(exports):
    (_, graph), _ = exports
    model = onnx.ModelProto.FromString(graph)
    assert Counter(node.op_type for node in model.graph.node) == {"Conv": 2, "ConvTranspose": 1, "Relu": 2}
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)


def test_the_graph_computes_what_the_network_does(exports, noise):
    (network, graph), _ = exports
    x = noise.normal(size=(1, 3, 8, 16)).astype(np.float32)
    (answer,) = open_session("onnxruntime-cpu", graph).run({from_bytes(graph).graph.inputs[0].name: x}).values()
    with torch.no_grad():
        np.testing.assert_allclose(answer, network.eval()(torch.from_numpy(x)).numpy(), atol=1e-5)  # float32 rounding


def test_a_network_that_branches_on_values_is_refused_with_a_remedy(contract):
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(
        BadInputError, match=r"test_from_torch\.py:\d+\); make its forward free of branches on tensor values"
    ):
        onnx_from_torch(Branching(), contract())


class Attention(nn.Module):
    def forward(self, x):
        rows = x[:, 0]
        return nn.functional.scaled_dot_product_attention(rows, rows, rows)


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = torch.jit.script(nn.Conv2d(3, 1, 1))

    def forward(self, x):
        return self.inside(x)


@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated
@pytest.mark.parametrize(
    ("network", "cause", "remedy"),
    [
        (Attention, "only 4D query, key, and value are supported", 'attn_implementation="eager"'),
        (Scripted, "forward() takes 2 positional arguments", "its layer inside is TorchScript, which is not captured"),
    ],
)
def test_the_first_cause_of_a_failed_capture_is_said_with_what_helps(contract, network, cause, remedy):
    with pytest.raises(BadInputError) as refused:
        onnx_from_torch(network(), contract())
    assert f"AssertionError: {cause}" in str(refused.value) or f"TypeError: Conv2d.{cause}" in str(refused.value)
    assert remedy in str(refused.value)
    assert "\n" not in str(refused.value)


class Standardised(nn.Module):
    """Its weights have mean 0 and variance 1, by a batch norm in training mode."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3)

    def forward(self, x):
        flat = self.conv.weight.reshape(1, 1, -1)
        weight = nn.functional.batch_norm(flat, None, None, training=True).reshape_as(self.conv.weight)
        return nn.functional.conv2d(x, weight, self.conv.bias)


def test_standardised_weights_of_a_module_are_plain_weights_in_the_graph(contract):
    graph = onnx.ModelProto.FromString(to_bytes(onnx_from_torch(Standardised(), contract())))
    assert [node.op_type for node in graph.graph.node] == ["Conv"]


class Noisy(nn.Module):
    def forward(self, x):
        return x[:, :1] + torch.rand_like(x[:, :1])


def test_a_module_that_draws_random_numbers_is_refused_by_the_operator(contract):
    with pytest.raises(BadInputError, match=r"the network: RandomUniformLike .* draws random numbers"):
        onnx_from_torch(Noisy(), contract())


def test_a_graph_in_training_mode_is_refused():
    graph = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
        net (float[1,2,4,4] x) => (float[1,2,4,4] y) <bool training = {1}, float ratio = {0.5}>
        { y = Dropout (x, ratio, training) }""")
    with pytest.raises(BadInputError, match="training mode"):
        to_bytes(from_bytes(graph.SerializeToString()))
