"""A picture of any size for a network of one size, and the depth back at the picture's own size.

The estimator is strict about sizes; this is for files. Pillow resizes, by the policy of the contract: `stretch`
stretches, `letterbox` and `pad` keep the aspect and leave black bars, `crop` keeps it and cuts off what juts out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from mde_runtime.contract import Contract, Intrinsics
from mde_runtime.resampling import resize_maps

Frame = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PicturePlacement:
    """Which part of a picture lies where in the frame. Boxes are left, top, right, bottom, px, as Pillow has them."""

    picture_box: tuple[float, float, float, float]
    frame_box: tuple[int, int, int, int]


def placement_of(contract: Contract, width_px: int, height_px: int) -> PicturePlacement:
    """How a picture of this size is brought to the contract's source size."""
    source, policy = contract.source, contract.to_network.resize
    whole_picture = (0.0, 0.0, float(width_px), float(height_px))
    whole_frame = (0, 0, source.width_px, source.height_px)
    across, down = source.width_px / width_px, source.height_px / height_px
    if policy == "stretch" or across == down:
        return PicturePlacement(whole_picture, whole_frame)
    if policy == "crop":  # the side that stays whole as it is: a quotient of quotients can be a hair too long
        width = width_px if across > down else source.width_px / down
        height = height_px if down > across else source.height_px / across
        left, top = (width_px - width) / 2, (height_px - height) / 2
        return PicturePlacement((left, top, left + width, top + height), whole_frame)
    factor = min(across, down)
    columns, rows = max(1, round(width_px * factor)), max(1, round(height_px * factor))
    left, top = (source.width_px - columns) // 2, (source.height_px - rows) // 2  # in whole px, so no px is mixed
    return PicturePlacement(whole_picture, (left, top, left + columns, top + rows))


def camera_at_picture_size(camera: Intrinsics, contract: Contract, width_px: int, height_px: int) -> Intrinsics:
    """The camera at the size of a picture, from that at the contract's source size."""
    placement = placement_of(contract, width_px, height_px)
    left, top, right, bottom = placement.frame_box
    part_left, part_top, part_right, part_bottom = placement.picture_box
    across, down = (part_right - part_left) / (right - left), (part_bottom - part_top) / (bottom - top)
    return Intrinsics(
        fx_px=camera.fx_px * across,
        fy_px=camera.fy_px * down,
        cx_px=(camera.cx_px + 0.5 - left) * across + part_left - 0.5,  # pixel centres are whole numbers
        cy_px=(camera.cy_px + 0.5 - top) * down + part_top - 0.5,
    )


def focal_at_source_size(focal_px: float, contract: Contract, width_px: int, height_px: int) -> float:
    """A focal length (across) at the contract's source size, from that at the size of a picture."""
    placement = placement_of(contract, width_px, height_px)
    left, _, right, _ = placement.frame_box
    part_left, _, part_right, _ = placement.picture_box
    return focal_px * (right - left) / (part_right - part_left)


def frame_of(picture: Frame, contract: Contract) -> Frame:
    """The contract's frame of an RGB picture (H, W, 3): its size and its colour order."""
    height_px, width_px, _ = picture.shape
    source = contract.source
    frame = picture
    if (height_px, width_px) != (source.height_px, source.width_px):
        placement = placement_of(contract, width_px, height_px)
        left, top, right, bottom = placement.frame_box
        part_left, part_top, part_right, part_bottom = placement.picture_box
        shrinks = right - left <= part_right - part_left and bottom - top <= part_bottom - part_top
        # BOX is the mean over the area that a pixel covers, as a coarser camera would see it; enlarged it shows steps.
        how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        resized = Image.fromarray(picture).resize((right - left, bottom - top), how, placement.picture_box)
        frame = np.zeros((source.height_px, source.width_px, 3), np.uint8)
        frame[top:bottom, left:right] = np.asarray(resized)
    return np.ascontiguousarray(frame[..., ::-1] if source.colour == "bgr" else frame)


def depth_at_picture_size(depth_m: Depth, contract: Contract, width_px: int, height_px: int) -> Depth:
    """Depth of a frame (metres, source size) at the size of the picture that the frame was made of.

    Where the network did not see the picture (a crop, a map of a part) the depth is 0, and none is mixed with that 0.
    """
    if depth_m.shape == (height_px, width_px):
        return depth_m
    placement = placement_of(contract, width_px, height_px)
    left, top, right, bottom = placement.frame_box
    # Rounded outwards to whole pixels of the picture: at a crop's border less than one pixel is stretched.
    part_left, part_top = int(placement.picture_box[0]), int(placement.picture_box[1])
    part_right, part_bottom = -int(-placement.picture_box[2] // 1), -int(-placement.picture_box[3] // 1)
    seen = depth_m[top:bottom, left:right]
    size = (part_bottom - part_top, part_right - part_left)
    part = resize_maps(seen, *size, antialias=False)
    if contract.to_network.resize == "crop" or _is_partly_unseen(contract):
        weight = resize_maps((seen > 0).astype(np.float32), *size, antialias=False)
        part = np.where(weight >= 0.5, part / np.maximum(weight, 0.5), np.float32(0))
    depth = np.zeros((height_px, width_px), np.float32)
    depth[part_top:part_bottom, part_left:part_right] = part
    return depth


def _is_partly_unseen(contract: Contract) -> bool:
    """Whether the map covers a part of the frame alone."""
    whole = (slice(0, contract.source.height_px), slice(0, contract.source.width_px))
    return contract.seen != whole
