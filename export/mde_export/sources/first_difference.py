"""The first layer or value in which an FP32 graph differs from its PyTorch network, on one frame.

An export goes wrong in three places: the network answers by chance, PyTorch captures something else than the network
does, or the ONNX graph computes something else than was captured. Each is looked at in turn.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx.verification import verify_onnx_program

from mde_export.judge.evidence import Frames
from mde_export.sources.from_torch import program_of, quiet
from mde_runtime.contract import Contract
from mde_train.depth_model import network_input

TOLERANCE = 1e-3  # of the largest value: a hundred times what the order of additions does in FP32

REMEDIES = {
    "chance": "look for randomness in its forward, or for layers that keep state between frames",
    "capture": "look there for code that behaves differently in training or during export",
    "graph": "write that layer another way, or pass an ONNX file from another exporter",
}

Outputs = dict[str, Tensor]  # by the layer's path, in the order in which the layers end


def first_difference(network: nn.Module, contract: Contract, frame: Frames) -> str:
    """In words, with what to do, for a frame (1, H, W, 3). The network may be on one thread only."""
    network = network.eval()
    with torch.inference_mode():
        x = network_input(torch.from_numpy(frame), contract)
        once, again = _outputs(network, x), _outputs(network, x)
    if found := _first(once, again):
        return f"the network gives a different result on each run, first at {found}; {REMEDIES['chance']}"
    with quiet():
        program = program_of(network, contract)
        exported = program.exported_program
        assert exported is not None
        with torch.no_grad():
            captured = _Recorder(exported.module())
            captured.run(x.clone())
        if found := _first(once, captured.outputs):
            return f"the graph that PyTorch captured differs from the network, first at {found}; {REMEDIES['capture']}"
        for value in verify_onnx_program(program, (x.clone(),), compare_intermediates=True):
            if min(value.max_abs_diff, value.max_rel_diff) > TOLERANCE:
                differs = f"the ONNX graph differs from the graph that PyTorch captured, first at {value.name}"
                return f"{differs}; {REMEDIES['graph']}"
    return f"layer by layer the graph agrees with the network on this frame; {REMEDIES['chance']}"


def _outputs(network: nn.Module, x: Tensor) -> Outputs:
    """What every layer gives, as it ends."""
    found: Outputs = {}

    def keep(path: str) -> Any:  # Any: a hook takes whatever the layer takes
        def hook(_layer: nn.Module, _given: object, output: object) -> None:
            if isinstance(output, Tensor):
                found[path] = output.clone()  # a layer after it may write over it

        return hook

    hooks = [layer.register_forward_hook(keep(path)) for path, layer in network.named_modules()]
    try:
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found


class _Recorder(torch.fx.Interpreter):
    """Runs a captured network, and keeps the last tensor that each layer made."""

    def __init__(self, module: torch.fx.GraphModule):
        super().__init__(module)
        self.outputs: Outputs = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        """Run a node."""
        value = super().run_node(n)
        if isinstance(value, Tensor) and n.op != "placeholder":
            for path, _kind in (n.meta.get("nn_module_stack") or {}).values():
                self.outputs[path] = value.clone()
        return value


def _first(right: Outputs, other: Outputs) -> str:
    """The first layer whose output is another, and by how much; empty where none is."""
    for path, expected in right.items():
        found = other.get(path)
        if found is not None and found.shape == expected.shape:
            worst = float((found - expected).abs().max())
            if not worst <= TOLERANCE * float(expected.abs().max()):
                return f"layer {path or 'the network itself'} (by up to {worst:.3g})"
    return ""
