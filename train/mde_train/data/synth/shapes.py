"""The solids of a rendered scene, and the points where rays meet them.

World axes: x right, y up, z ahead, metres. A ray is origin + depth * direction, with directions scaled so that their
component along the camera's axis is 1: the distance along a ray is then z-depth itself.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

NEVER = np.float32(np.inf)


@dataclass(frozen=True, eq=False)
class Meeting:
    """Where rays meet a shape: all of the rays' shape. depth_m is inf where they miss."""

    depth_m: Float32
    u_m: Float32  # along the surface, for its texture
    v_m: Float32
    normal: tuple[Float32, Float32, Float32]  # of length 1, towards the camera's side
    face: npt.NDArray[np.int8]  # 0 on the sides, 1 on top, 2 underneath


class Shape(Protocol):
    """A solid or a surface."""

    def corners(self) -> Float32:
        """(8, 3): a box around it, metres."""

    def meet(self, origin: Float32, direction: Float32) -> Meeting:
        """Where rays from origin (3,) along direction (3, ...) meet it first."""


@dataclass(frozen=True)
class Ground:
    """The part of a horizontal plane that lies between two x; endless along z."""

    y_m: float
    left_m: float
    right_m: float

    def corners(self) -> Float32:
        """The whole world: it is never culled."""
        return _box_corners(np.zeros(3), np.full(3, 1e4))

    def meet(self, origin: Float32, direction: Float32) -> Meeting:
        """Where the rays come down on it."""
        with np.errstate(divide="ignore"):
            depth_m = (np.float32(self.y_m) - origin[1]) / direction[1]
        depth_m = np.where((depth_m > 0) & (depth_m < 1e4), depth_m, 1e4)  # beyond, coordinates would overflow
        x_m, z_m = origin[0] + depth_m * direction[0], origin[2] + depth_m * direction[2]
        hit = (depth_m < 1e4) & (x_m >= self.left_m) & (x_m <= self.right_m)
        zero = np.zeros_like(depth_m)
        face = np.ones(depth_m.shape, np.int8)
        return Meeting(np.where(hit, depth_m, NEVER), x_m, z_m, (zero, zero + 1, zero), face)


@dataclass(frozen=True)
class Box:
    """A box that stands upright, turned about the vertical. is_room: seen from within."""

    centre_m: tuple[float, float, float]
    half_m: tuple[float, float, float]
    yaw: float = 0.0
    is_room: bool = False

    def corners(self) -> Float32:
        """Its eight corners."""
        return _box_corners(np.array(self.centre_m), np.array(self.half_m), self.yaw)

    def meet(self, origin: Float32, direction: Float32) -> Meeting:
        """The slab method, in the box's own axes."""
        cos, sin = np.float32(np.cos(self.yaw)), np.float32(np.sin(self.yaw))
        offset = origin - np.array(self.centre_m, np.float32)
        start = (cos * offset[0] - sin * offset[2], offset[1], sin * offset[0] + cos * offset[2])
        along = (cos * direction[0] - sin * direction[2], direction[1], sin * direction[0] + cos * direction[2])
        enter, leave = [], []
        for axis in range(3):
            slope = np.where(np.abs(along[axis]) < 1e-9, np.float32(1e-9), along[axis])
            half = np.float32(self.half_m[axis])
            one, other = (-half - start[axis]) / slope, (half - start[axis]) / slope
            enter.append(np.minimum(one, other))
            leave.append(np.maximum(one, other))
        first = np.maximum(np.maximum(enter[0], enter[1]), enter[2])
        last = np.minimum(np.minimum(leave[0], leave[1]), leave[2])
        if self.is_room:
            depth_m, sides, outward = last, leave, np.float32(-1)
            hit = last > 0
        else:
            depth_m, sides, outward = first, enter, np.float32(1)
            hit = (first <= last) & (first > 0)
        safe_m = np.where(hit, depth_m, 0)
        at = [start[axis] + safe_m * along[axis] for axis in range(3)]
        on_x, on_y = depth_m == sides[0], depth_m == sides[1]
        on_z = ~(on_x | on_y)
        on_y = on_y & ~on_x
        signs = [np.sign(at[axis]) * outward for axis in range(3)]
        local_x, local_z = np.where(on_x, signs[0], 0), np.where(on_z, signs[2], 0)
        normal = (cos * local_x + sin * local_z, np.where(on_y, signs[1], 0), cos * local_z - sin * local_x)
        above = at[1] + np.float32(self.half_m[1])  # from its foot, so that storeys begin at the ground
        face = np.where(on_y, np.where(at[1] > 0, 1, 2), 0).astype(np.int8)
        u_m, v_m = np.where(on_x, at[2], at[0]), np.where(on_y, at[2], above)
        return Meeting(np.where(hit, depth_m, NEVER), u_m, v_m, normal, face)


@dataclass(frozen=True)
class Ellipsoid:
    """A ball, or a ball stretched along its axes."""

    centre_m: tuple[float, float, float]
    radii_m: tuple[float, float, float]

    def corners(self) -> Float32:
        """The box around it."""
        return _box_corners(np.array(self.centre_m), np.array(self.radii_m))

    def meet(self, origin: Float32, direction: Float32) -> Meeting:
        """The nearer root of the quadratic, in a space where it is the unit ball."""
        radii = np.array(self.radii_m, np.float32)
        start = (origin - np.array(self.centre_m, np.float32)) / radii
        along = tuple(direction[axis] / radii[axis] for axis in range(3))
        square = along[0] ** 2 + along[1] ** 2 + along[2] ** 2
        half_linear = start[0] * along[0] + start[1] * along[1] + start[2] * along[2]
        discriminant = half_linear**2 - square * (start @ start - np.float32(1))
        depth_m = (-half_linear - np.sqrt(np.maximum(discriminant, 0))) / square
        hit = (discriminant > 0) & (depth_m > 0)
        unit = [start[axis] + depth_m * along[axis] for axis in range(3)]
        scaled = [unit[axis] / radii[axis] for axis in range(3)]
        length = np.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2)
        normal = (scaled[0] / length, scaled[1] / length, scaled[2] / length)
        u_m, v_m = np.arctan2(unit[0], unit[2]) * radii[0], unit[1] * radii[1]
        return Meeting(np.where(hit, depth_m, NEVER), u_m, v_m, normal, np.zeros(depth_m.shape, np.int8))


@dataclass(frozen=True)
class Pole:
    """An upright cylinder without lids: seen from about eye height, its top hardly shows."""

    foot_m: tuple[float, float, float]
    radius_m: float
    height_m: float

    def corners(self) -> Float32:
        """The box around it."""
        x_m, y_m, z_m = self.foot_m
        half_m = np.array([self.radius_m, self.height_m / 2, self.radius_m])
        return _box_corners(np.array([x_m, y_m + self.height_m / 2, z_m]), half_m)

    def meet(self, origin: Float32, direction: Float32) -> Meeting:
        """The nearer root of the quadratic in x and z, cut off at foot and top."""
        offset = origin - np.array(self.foot_m, np.float32)
        radius = np.float32(self.radius_m)
        square = np.maximum(direction[0] ** 2 + direction[2] ** 2, np.float32(1e-9))
        half_linear = offset[0] * direction[0] + offset[2] * direction[2]
        discriminant = half_linear**2 - square * (offset[0] ** 2 + offset[2] ** 2 - radius**2)
        depth_m = (-half_linear - np.sqrt(np.maximum(discriminant, 0))) / square
        above = offset[1] + depth_m * direction[1]
        hit = (discriminant > 0) & (depth_m > 0) & (above >= 0) & (above <= self.height_m)
        x, z = (offset[0] + depth_m * direction[0]) / radius, (offset[2] + depth_m * direction[2]) / radius
        normal = (x, np.zeros_like(x), z)
        face = np.zeros(depth_m.shape, np.int8)
        return Meeting(np.where(hit, depth_m, NEVER), np.arctan2(x, z) * radius, above, normal, face)


def _box_corners(centre_m: npt.NDArray[np.float64], half_m: npt.NDArray[np.float64], yaw: float = 0.0) -> Float32:
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float) * half_m
    cos, sin = np.cos(yaw), np.sin(yaw)
    turned = np.stack(
        [cos * signs[:, 0] + sin * signs[:, 2], signs[:, 1], cos * signs[:, 2] - sin * signs[:, 0]], axis=1
    )
    return (turned + centre_m).astype(np.float32)
