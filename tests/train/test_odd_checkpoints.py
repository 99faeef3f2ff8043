"""Checkpoints come from others: whatever a value is, it is refused when the file is read, in one line."""

import pytest
import torch

from mde_runtime.errors import BadInputError
from mde_train.checkpoint import check_same_model, load_weights, read_checkpoint
from mde_train.models import build_model

DEEP, ENDLESS = "[" * 400 + "]" * 400, "[" * 100_000


@pytest.fixture
def forged(written):
    """A function that writes a checkpoint with some of its content replaced, or its first convolution's weight."""

    path = written()
    content = torch.load(path, weights_only=True)

    def forge(weight=None, **changes):
        if weight is not None:
            network = dict(content["network"])
            name = next(name for name, value in network.items() if value.ndim == 4)
            network[name] = weight(network[name])
            changes["network"] = always(network)
        torch.save({**content, **{key: make(content[key]) for key, make in changes.items()}}, path)
        return path

    return forge


def always(value):
    return lambda _sound: value


def with_pixel(metres):
    def change(depth_m):
        changed = depth_m.clone()
        changed[0, 0, 0] = metres
        return changed

    return change


ODD_VALUES = {
    "mde_checkpoint": [torch.ones(3), torch.tensor(1), True, 1.0, "1", [1], None, float("nan")],
    "model": [torch.ones(1), 1, None, ["fast"], "\ud800"],
    "model_options": [None, {}, "[]", "1", "null", "NaN", '{"width": NaN}', DEEP, ENDLESS, "{", torch.ones(1), b"{}"],
    "contract": [None, {}, "[]", "{}", DEEP, ENDLESS, "NaN", torch.ones(1), b"{}"],
    "recipe": [None, {}, "NaN", '{"lr": Infinity}', DEEP, ENDLESS, "{", '"\\ud800"', torch.ones(1), b"{}"],
    "data_sha256": [torch.ones(2), ["a"], 7, b"ab", {}, "\ud800"],
    "heldout_frames": [None, [], "frames", 5, torch.tensor(5), torch.ones(3, dtype=torch.bool)],
    "heldout_depth_m": [None, [], "depth", 5, torch.tensor(5.0)],
    "network": [None, [], "weights", torch.ones(3), {}, {"a": 1}],
}


@pytest.mark.parametrize("key", ODD_VALUES)
def test_a_value_of_another_type_is_refused(forged, key):
    for value in ODD_VALUES[key]:
        with pytest.raises(BadInputError, match=r"model\.ckpt: ") as caught:
            read_checkpoint(forged(**{key: always(value)}))
        assert len(str(caught.value).splitlines()) == 1


def test_heldout_depth_of_0_is_no_measurement_and_left_alone(forged):
    assert read_checkpoint(forged(heldout_depth_m=with_pixel(0.0))).heldout_depth_m[0, 0, 0] == 0


ODD_TENSORS = {
    "sparse": lambda tensor: tensor.to_sparse(),
    "compressed": lambda tensor: tensor.flatten(1).to_sparse_csr(),
    "of no content": lambda tensor: tensor.to("meta"),
    "complex": lambda tensor: tensor.to(torch.complex64) + 1j,
    "quantised": lambda tensor: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8),
    "nested": lambda tensor: torch.nested.as_nested_tensor(list(tensor.float())),
    "whole numbers": lambda tensor: tensor.to(torch.int16),
    "true or false": lambda tensor: tensor > 0,
    "expanded": lambda tensor: tensor.flatten()[:1].clone().expand(tensor.shape),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("odd", ODD_TENSORS.values(), ids=ODD_TENSORS)
@pytest.mark.parametrize("place", ["weight", "heldout_depth_m", "heldout_frames"])
def test_a_tensor_that_is_no_plain_array_is_refused_by_every_reader(forged, place, odd):
    path = forged(**{place: odd})
    with pytest.raises(BadInputError, match=r"model\.ckpt: "):
        read_checkpoint(path)
    if place == "weight":
        with pytest.raises(BadInputError, match=r"model\.ckpt: "):
            load_weights(build_model("fast"), path)


def test_depth_that_wants_a_gradient_is_refused_but_such_weights_are_parameters(forged):
    with pytest.raises(BadInputError, match="held-out depth"):
        read_checkpoint(forged(heldout_depth_m=lambda depth_m: depth_m.clone().requires_grad_()))
    assert read_checkpoint(forged(weight=torch.nn.Parameter))


@pytest.mark.parametrize("key", ["model", "model_options", "contract"])
def test_a_checkpoint_to_compare_with_is_checked_in_the_same_way(forged, key):
    for value in (None, DEEP, ENDLESS, "NaN", torch.ones(2)):
        with pytest.raises(BadInputError, match=r"model\.ckpt: "):
            check_same_model(forged(**{key: always(value)}), "fast", {})
