import threading
import time

import numpy as np
import pytest

from mde_runtime import BadInputError, DepthEstimator, UsageError
from mde_runtime.colour_orders import ORDERS

FLOAT32_STEP_AT_20_M = 2e-6
ONE_LEVEL_M = 20 / 255  # of 8 bits, in metres, as the tiny network has it


@pytest.fixture
def estimate(tiny_bundle):
    with DepthEstimator.open(tiny_bundle) as opened:
        yield opened


def test_out_is_written_to_and_given_back(estimate, tiny_frames):
    out = np.empty((24, 32), np.float32)
    assert estimate(tiny_frames[0], out=out) is out
    np.testing.assert_array_equal(out, estimate(tiny_frames[0]))


@pytest.mark.parametrize(
    "out",
    [
        np.empty((24, 32)),
        np.empty((24, 31), np.float32),
        np.empty((24, 64), np.float32)[:, ::2],
        np.broadcast_to(np.float32(0), (24, 32)),
        [0.0],
    ],
    ids=["float64", "another shape", "not contiguous", "read-only", "a list"],
)
def test_an_out_that_cannot_hold_the_depth_is_refused(estimate, tiny_frames, out):
    with pytest.raises(BadInputError, match=r"out must be float32 \(24, 32\)"):
        estimate(tiny_frames[0], out=out)


def test_a_batch_gives_what_its_frames_give(estimate, tiny_frames):
    many = np.concatenate([tiny_frames, tiny_frames[::-1], tiny_frames])
    one_by_one = np.stack([estimate(frame) for frame in many])
    np.testing.assert_allclose(estimate.batch(many), one_by_one, atol=FLOAT32_STEP_AT_20_M)


@pytest.mark.parametrize("frames", [[], np.empty((0, 24, 32, 3), np.uint8), np.empty((24, 32, 3), np.uint8)])
def test_what_is_no_batch_is_refused(estimate, frames):
    with pytest.raises(BadInputError, match="a batch is one array"):
        estimate.batch(frames)


def test_a_batch_of_a_wrong_size_is_refused_as_a_frame_is(estimate):
    with pytest.raises(BadInputError, match="--source-size 48x64"):
        estimate.batch(np.zeros((2, 48, 64, 3), np.uint8))


def test_a_stream_gives_the_depth_of_each_frame_in_order(estimate, tiny_frames):
    found = list(estimate.stream(iter(tiny_frames)))
    np.testing.assert_array_equal(np.stack(found), np.stack([estimate(frame) for frame in tiny_frames]))


def test_a_stream_reads_the_next_frame_while_nobody_asks_for_it(estimate, tiny_frames):
    has_read_the_next = threading.Event()

    def camera():
        yield tiny_frames[0]
        has_read_the_next.set()
        yield tiny_frames[1]

    stream = estimate.stream(camera())
    next(stream)
    assert has_read_the_next.wait(timeout=10)
    stream.close()


def test_a_stream_holds_few_frames_at_a_time(estimate, tiny_frames):
    taken = []

    def camera():
        for index in range(100):
            taken.append(index)
            yield tiny_frames[0]

    stream = estimate.stream(camera())
    next(stream)
    time.sleep(0.05)  # long enough to read all hundred, were they not held back
    assert len(taken) <= 5
    stream.close()


def test_a_stream_that_is_left_early_lets_its_source_go(estimate, tiny_frames):
    taken = []

    def camera():
        while True:
            taken.append(1)
            yield tiny_frames[0]

    for _ in estimate.stream(camera()):
        break
    time.sleep(0.05)
    after = len(taken)
    time.sleep(0.05)
    assert len(taken) == after


def test_what_the_source_raises_comes_after_the_depth_before_it(estimate, tiny_frames):
    def camera():
        yield tiny_frames[0]
        raise ConnectionError("unplugged")

    stream = estimate.stream(camera())
    assert next(stream).shape == (24, 32)
    with pytest.raises(ConnectionError, match="unplugged"):
        next(stream)


def test_a_wrong_frame_in_a_stream_is_refused_as_anywhere(estimate, tiny_frames):
    stream = estimate.stream([tiny_frames[0], tiny_frames[0][:, :4]])
    next(stream)
    with pytest.raises(BadInputError, match="--source-size 24x4"):
        next(stream)


def as_order(frame: np.ndarray, order: str) -> np.ndarray:
    """An RGB frame as a camera of another order would give it."""
    height, width, _ = frame.shape
    alpha = np.full((height, width, 1), 255, np.uint8)
    if order.startswith("nv12"):
        grey = frame.mean(axis=-1)
        luma = np.rint(16 + grey * 219 / 255).astype(np.uint8)
        return np.concatenate([luma, np.full((height // 2, width), 128, np.uint8)])
    return {
        "rgb": frame,
        "bgr": frame[..., ::-1],
        "rgba": np.concatenate([frame, alpha], axis=-1),
        "bgra": np.concatenate([frame[..., ::-1], alpha], axis=-1),
        "grey": np.rint(frame.mean(axis=-1)).astype(np.uint8),
    }[order.replace("gray", "grey")]


@pytest.mark.parametrize("order", ORDERS)
def test_a_declared_order_gives_the_same_depth(estimate, tiny_frames, order):
    depth_m = estimate(as_order(tiny_frames[0], order), color=order)
    np.testing.assert_allclose(depth_m, estimate(tiny_frames[0]), atol=1.5 * ONE_LEVEL_M)  # grey is rounded twice


@pytest.mark.parametrize("order", ["nv12-bt601", "nv12-bt709"])
def test_nv12_gives_the_colours_of_its_standard(order):
    # The studio-swing codes of pure red and blue, from the standards' own tables (8 bits).
    codes = {
        "nv12-bt601": {(255, 0, 0): (81, 90, 240), (0, 0, 255): (41, 240, 110)},
        "nv12-bt709": {(255, 0, 0): (63, 102, 240), (0, 0, 255): (32, 240, 118)},
    }[order]
    for rgb, (luma, cb, cr) in codes.items():
        frame = np.concatenate([np.full((4, 4), luma, np.uint8), np.tile(np.array([cb, cr], np.uint8), (2, 2))])
        into = np.empty((4, 4, 3), np.uint8)
        ORDERS[order].write_rgb(frame, into)
        assert np.abs(into.astype(int) - rgb).max() <= 3  # the codes are rounded


def test_a_flipped_red_is_red_again(estimate):
    red = np.zeros((24, 32, 3), np.uint8)
    red[..., 0] = 90
    np.testing.assert_array_equal(estimate(red[..., ::-1], color="bgr"), estimate(red))


@pytest.mark.parametrize(
    ("frame", "order", "complaint"),
    [
        (np.zeros((24, 32, 3), np.uint16), "bgr", "the frame is uint16"),
        (np.zeros((24, 32), np.uint8), "bgr", r"bgr at the bundle's size is uint8 \(24, 32, 3\)"),
        (np.zeros((24, 32, 3), np.uint8), "nv12-bt709", r"is uint8 \(36, 32\)"),
        ([[0]], "grey", "the frame is list"),
    ],
)
def test_a_frame_that_is_not_what_it_was_declared_is_refused(estimate, frame, order, complaint):
    with pytest.raises(BadInputError, match=complaint):
        estimate(frame, color=order)


def test_an_unknown_order_is_refused_with_the_known(estimate, tiny_frames):
    with pytest.raises(UsageError, match="unknown colour order 'yuv'; choose from rgb, bgr"):
        estimate(tiny_frames[0], color="yuv")
