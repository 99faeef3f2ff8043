import dataclasses

import pytest
import torch
from torch import Tensor, nn

from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork
from mde_runtime.errors import BadInputError
from mde_train.depth_model import DepthModel, network_input


class Red(nn.Module):
    """A network whose depth is the red it sees."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1]


def contract(resize="stretch", source=(8, 8), network=(8, 8), covers=None, antialias=False, **changes) -> Contract:
    to_network = ToNetwork(
        height_px=network[0],
        width_px=network[1],
        multiple_of_px=4,
        resize=resize,
        interpolation="bilinear",
        antialias=antialias,
        align_corners=False,
        rounding="none",
        pad_px=(0, 0, 0, 0),
        padding="zero",
        fill="zero",
        scale=1.0,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    expected = {
        "kind": "metric_depth",
        "scale": 1.0,
        "shift": 0.0,
        "near_m": 0.0,
        "far_m": 255.0,
        "canonical_focal_px": None,
    } | changes
    expected = {"align_corners": False, "inversion": "before_resize", "via_input": True} | expected
    from_network = FromNetwork(
        unit="m", distance="z", covers=covers or (0, 0, *network), interpolation="bilinear", antialias=False, **expected
    )
    return Contract(
        source=SourceFrame(height_px=source[0], width_px=source[1], colour="rgb", dtype="uint8", layout="NHWC"),
        to_network=to_network,
        from_network=from_network,
        intrinsics=None,
    )


def frames(red: float = 100.0, size=(8, 8)) -> Tensor:
    frame = torch.zeros(1, *size, 3, dtype=torch.uint8)
    frame[..., 0] = int(red)
    return frame


def ramp(size=(8, 8)) -> Tensor:
    return (torch.arange(size[0] * size[1]) * 3 % 256).reshape(1, *size, 1).expand(1, *size, 3).to(torch.uint8)


def depth(contract: Contract, frames: Tensor, network: nn.Module | None = None) -> Tensor:
    return DepthModel(network or Red(), contract)(frames)[0][0]


@pytest.mark.parametrize(
    ("resize", "source", "network"),
    [("pad", (6, 7), (8, 8)), ("letterbox", (8, 8), (12, 8)), ("stretch", (8, 8), (8, 8))],
)
def test_a_frame_comes_back_to_its_own_place(resize, source, network):
    frame = ramp(source)
    assert torch.equal(depth(contract(resize, source, network), frame), frame[0, ..., 0].float())


def test_padding_is_zero_to_the_network_after_the_normalisation():
    padded = contract("pad", (6, 6), (8, 8))
    padded = dataclasses.replace(padded, to_network=dataclasses.replace(padded.to_network, mean=(50.0, 0.0, 0.0)))
    seen = network_input(frames(100, (6, 6)), padded)
    assert (seen[0, 0, 0, 0], seen[0, 0, 4, 4]) == (0.0, 50.0)


def test_pixels_that_a_crop_hides_from_the_network_are_zero():
    result = depth(contract("crop", source=(8, 16), network=(8, 8)), frames(100, (8, 16)))
    assert (result[:, 4:12] == 100).all()
    assert (result[:, :4] == 0).all()
    assert (result[:, 12:] == 0).all()


def test_pixels_that_the_output_does_not_cover_are_zero():
    result = depth(contract(covers=(2, 0, 6, 8)), frames(100), network=nn.Sequential(Red(), nn.MaxPool2d((2, 1))))
    assert (result[2:6] == 100).all()
    assert (result[:2] == 0).all()
    assert (result[6:] == 0).all()


def test_a_small_output_is_brought_to_what_it_covers():
    assert (depth(contract(), frames(100), network=nn.Sequential(Red(), nn.AvgPool2d(4))) == 100).all()


def test_scale_and_shift_act_on_the_networks_own_quantity():
    assert (depth(contract(kind="inverse_depth", scale=0.001, shift=0.1), frames(100)) == 5.0).all()


def test_inverse_depth_of_zero_and_below_is_far():
    far = contract(kind="inverse_depth", shift=-200.0, far_m=128.0)  # a power of two: 1 / (1 / far) is exact
    assert (depth(far, frames(100)) == 128.0).all()


def test_log_depth_is_the_exponential_of_what_scale_and_shift_make():
    metres = depth(contract(kind="log_depth", scale=0.01, shift=0.5), frames(100))
    torch.testing.assert_close(metres, torch.full_like(metres, 2.718281828**1.5))


def test_log_depth_beyond_every_exponent_is_far():
    assert (depth(contract(kind="log_depth", scale=10.0, far_m=150.0), frames(100)) == 150.0).all()


def test_depth_beyond_the_range_is_clipped_to_its_ends():
    assert (depth(contract(near_m=120.0), frames(100)) == 120.0).all()
    assert (depth(contract(far_m=20.0), frames(100)) == 20.0).all()


def test_values_that_are_not_finite_are_counted_before_the_clip():
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full_like(x[:, :1], 1.0).index_fill(3, torch.tensor([0]), float("inf"))

    num_nonfinite = DepthModel(Broken(), contract())(frames())[1]
    assert num_nonfinite.tolist() == [8]
    assert num_nonfinite.dtype == torch.int32


def test_bgr_frames_reach_the_network_as_rgb():
    bgr = contract()
    bgr = dataclasses.replace(bgr, source=dataclasses.replace(bgr.source, colour="bgr"))
    assert (depth(bgr, frames(100).flip(3)) == 100.0).all()


def test_relative_depth_without_a_scale_is_refused_with_the_remedy():
    with pytest.raises(BadInputError, match="--measured"):
        DepthModel(Red(), contract(kind="relative_inverse_depth"))


def test_relative_depth_with_a_fitted_scale_is_taken():
    assert (depth(contract(kind="relative_inverse_depth", scale=0.001, shift=0.1), frames(100)) == 5.0).all()
