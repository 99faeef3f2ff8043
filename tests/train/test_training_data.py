import numpy as np
import pytest
import torch

from mde_runtime.errors import BadInputError
from mde_train.data import FrameArrays
from mde_train.recipe import NOTHING
from mde_train.training_data import TrainingFrames


def frames(number: int = 10, batch_size: int = 4, seed: int = 0) -> TrainingFrames:
    pixels = np.arange(number, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 3), np.uint8)
    depth_m = np.ones((number, 4, 6), np.float16)
    arrays = FrameArrays(tuple(map(str, range(number))), pixels, depth_m, depth_m > 0, "")
    return TrainingFrames(arrays, batch_size, seed)


def test_an_epoch_sees_no_frame_twice():
    names = [name for step in range(2) for name in frames().batch(step, NOTHING).names]
    assert len(set(names)) == 8


def test_epochs_are_shuffled_anew():
    first, second = ([frames().batch(epoch * 2 + step, NOTHING).names for step in range(2)] for epoch in range(2))
    assert first != second


def test_a_batch_is_a_function_of_the_seed_and_the_step_alone():
    late = frames()
    for step in range(5):
        late.batch(step, NOTHING)
    assert late.batch(1, NOTHING).names == frames().batch(1, NOTHING).names
    assert frames(seed=1).batch(1, NOTHING).names != frames().batch(1, NOTHING).names


def test_a_frame_keeps_its_name():
    batch = frames().batch(0, NOTHING)
    assert [str(int(value)) for value in batch.frames[:, 0, 0, 0]] == list(batch.names)


def test_devices_share_a_batch_without_overlap():
    batch = frames().batch(0, NOTHING)
    parts = [batch.part(rank, 2) for rank in range(2)]
    assert sorted(name for part in parts for name in part.names) == sorted(batch.names)
    assert all(len(part.frames) == len(part.names) == 2 for part in parts)
    assert torch.equal(parts[1].frames[0], batch.frames[1])


def test_too_few_frames_for_a_batch_are_refused_with_the_remedy():
    with pytest.raises(BadInputError, match="--set batch_size=3"):
        frames(number=3)
