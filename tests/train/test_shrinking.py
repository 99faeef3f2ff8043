import dataclasses

import numpy as np
import pytest
import torch

from mde_runtime.contract import Contract
from mde_train.data import Sample
from mde_train.depth_model import network_input
from mde_train.models import MODELS, model_named
from mde_train.shrinking import shrinking, shrunk_contract

HEIGHT_PX, WIDTH_PX = 480, 640


def sample() -> Sample:
    chance = np.random.default_rng(0)
    depth_m = chance.uniform(0.5, 10, (HEIGHT_PX, WIDTH_PX)).astype(np.float32)
    depth_m[chance.random(depth_m.shape) < 0.1] = 0
    return Sample("0", chance.integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8), depth_m, depth_m > 0)


def seen(frame: np.ndarray, contract: Contract) -> torch.Tensor:
    return network_input(torch.from_numpy(frame)[None], contract)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_a_network_sees_the_same_in_a_shrunk_frame_within_a_level(resize, antialias):
    contract = model_named("fcrn").contract(HEIGHT_PX, WIDTH_PX)
    to_network = dataclasses.replace(contract.to_network, resize=resize, antialias=antialias, height_px=224)
    covers = dataclasses.replace(contract.from_network, covers=(0, 0, 224, 304))
    contract = dataclasses.replace(contract, to_network=to_network, from_network=covers)
    small, whole = shrinking(contract).of(sample()), sample()
    assert small.frame.size < whole.frame.size
    level = 1 / 255 / min(to_network.std)
    difference = seen(small.frame, shrunk_contract(contract)) - seen(whole.frame, contract)
    assert difference.abs().max() <= 0.5 * level + 1e-5  # half a level, and float32


def test_shrunk_depth_is_the_nearest_and_no_mean():
    contract = model_named("fcrn").contract(HEIGHT_PX, WIDTH_PX)
    small, whole = shrinking(contract).of(sample()), sample()
    assert small.depth_m.shape == (228, 304)
    rows, columns = ((np.arange(side) + 0.5) * ratio for side, ratio in ((228, 480 / 228), (304, 640 / 304)))
    np.testing.assert_array_equal(small.depth_m, whole.depth_m[rows.astype(int)][:, columns.astype(int)])
    np.testing.assert_array_equal(small.valid, small.depth_m > 0)


@pytest.mark.parametrize("model", MODELS)
def test_frames_that_the_network_does_not_make_smaller_are_left_alone(model):
    contract = model_named(model).contract(144, 256)
    assert shrunk_contract(contract) == contract
    whole = sample()
    assert shrinking(contract).of(whole) is whole
