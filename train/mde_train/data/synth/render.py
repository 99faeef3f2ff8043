"""From a scene to a frame and its depth: one ray a pixel, then light, haze and the camera's own noise."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_train.data.synth.scene import FAR_M, Camera, Light, Scene
from mde_train.data.synth.shapes import Shape
from mde_train.data.synth.texture import TEXTURE_INDEX, Float32, look_up

NEAREST_M = 0.1  # a corner nearer than this, or behind the camera, has no place in the picture
SHADOW_DEPTH = 0.55  # how much light the middle of a shadow takes away
LAMP_HALF_M = 4.0  # where the lamp's light has fallen to a half: fixed, so that brightness tells distance
SHUTTER_GAMMA = 1 / 2.2


@dataclass(frozen=True, eq=False)
class Seen:
    """What each pixel shows, (H, W) each, before it is lit."""

    depth_m: Float32  # inf: the sky
    surface: npt.NDArray[np.int16]  # 3 * the thing's index + its face; -1: the sky
    u_m: Float32
    v_m: Float32
    normal: Float32  # (3, H, W)


@dataclass(frozen=True, eq=False)
class Rendered:
    """A frame, its depth, and what a judge of frames asks about."""

    frame: npt.NDArray[np.uint8]  # (H, W, 3)
    depth_m: Float32  # (H, W), z-depth; FAR_M in the sky
    largest_wall_share: float  # how much of the picture the largest upright face fills


def render(scene: Scene, rng: np.random.Generator) -> Rendered:
    """Render a scene. rng: for the noise and the exposure of the camera."""
    directions = ray_directions(scene.camera)
    seen = cast_rays(scene, directions)
    frame = _photograph(_lit(scene, seen, directions), rng)
    return Rendered(frame, np.minimum(seen.depth_m, np.float32(FAR_M)), _largest_wall_share(seen))


def ray_directions(camera: Camera) -> Float32:
    """(3, H, W): each pixel's ray in world axes, of length 1 along the camera's axis."""
    lens = camera.lens
    right = (np.arange(lens.width_px, dtype=np.float32) - (lens.width_px - 1) / 2) / np.float32(lens.focal_px)
    up = ((lens.height_px - 1) / 2 - np.arange(lens.height_px, dtype=np.float32)) / np.float32(lens.focal_px)
    rotation = camera.rotation()
    across, upwards, ahead = (rotation[:, axis, None, None] for axis in range(3))
    directions: Float32 = across * right[None, None, :] + upwards * up[None, :, None] + ahead
    return directions.astype(np.float32)


def cast_rays(scene: Scene, directions: Float32) -> Seen:
    """The nearest surface in every pixel."""
    shape = directions.shape[1:]
    seen = Seen(
        np.full(shape, np.inf, np.float32),
        np.full(shape, -1, np.int16),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.float32),
        np.zeros((3, *shape), np.float32),
    )
    origin = np.array(scene.camera.position_m, np.float32)
    for index, thing in enumerate(scene.things):
        rows, columns = window(scene.camera, thing.shape)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        met = thing.shape.meet(origin, directions[:, rows, columns])
        nearer = met.depth_m <= seen.depth_m[rows, columns]  # of equals the later wins: strips lie on the ground
        nearer &= met.depth_m < np.inf
        np.copyto(seen.depth_m[rows, columns], met.depth_m, where=nearer)
        np.copyto(seen.surface[rows, columns], met.face + np.int16(3 * index), where=nearer)
        np.copyto(seen.u_m[rows, columns], met.u_m, where=nearer, casting="same_kind")
        np.copyto(seen.v_m[rows, columns], met.v_m, where=nearer, casting="same_kind")
        for axis in range(3):
            np.copyto(seen.normal[axis, rows, columns], met.normal[axis], where=nearer, casting="same_kind")
    return seen


def window(camera: Camera, shape: Shape) -> tuple[slice, slice]:
    """The rows and columns that can show a shape: all of them where it reaches behind the camera."""
    lens = camera.lens
    at_m = (shape.corners() - np.array(camera.position_m, np.float32)) @ camera.rotation()
    if at_m[:, 2].min() < NEAREST_M:
        is_behind = at_m[:, 2].max() < NEAREST_M
        return (slice(0, 0), slice(0, 0)) if is_behind else (slice(0, lens.height_px), slice(0, lens.width_px))
    column = at_m[:, 0] / at_m[:, 2] * lens.focal_px + (lens.width_px - 1) / 2
    row = (lens.height_px - 1) / 2 - at_m[:, 1] / at_m[:, 2] * lens.focal_px
    return _slice(row, lens.height_px), _slice(column, lens.width_px)


def _largest_wall_share(seen: Seen) -> float:
    is_upright = (seen.surface >= 0) & (np.abs(seen.normal[1]) < 0.5)
    towards = np.round(np.arctan2(seen.normal[0], seen.normal[2]) * 2).astype(np.int64) + 8  # apart: a room's walls
    faces = (seen.surface.astype(np.int64) * 16 + towards)[is_upright]
    return float(np.bincount(faces).max() / seen.surface.size) if faces.size else 0.0


def _slice(at_px: npt.NDArray[np.floating], side_px: int) -> slice:
    return slice(max(0, int(at_px.min())), min(side_px, int(np.ceil(at_px.max())) + 1))


def _lit(scene: Scene, seen: Seen, directions: Float32) -> Float32:
    """(H, W, 3) linear light that reaches the camera."""
    light = scene.light
    is_solid = seen.surface >= 0
    picture = np.empty((*is_solid.shape, 3), np.float32)
    picture[~is_solid] = _sky(light, directions[:, ~is_solid])
    ray = directions[:, is_solid]
    stretch = np.sqrt((ray**2).sum(axis=0))  # ray distance per z-depth
    depth_m, normal = seen.depth_m[is_solid], seen.normal[:, is_solid]
    range_m = depth_m * stretch
    facing = np.abs((normal * ray).sum(axis=0)) / stretch
    footprint_m = depth_m / np.float32(scene.camera.lens.focal_px) / np.sqrt(np.maximum(facing, 0.05))
    albedo = _albedo(scene, seen.surface[is_solid], seen.u_m[is_solid], seen.v_m[is_solid], footprint_m)
    sunlit = np.maximum((normal * np.array(light.sun_from, np.float32)[:, None]).sum(axis=0), 0)
    lamp = light.lamp * facing / (1 + (range_m / np.float32(LAMP_HALF_M)) ** 2)
    brightness = light.ambient * (0.85 + 0.15 * normal[1]) + light.sun * sunlit + lamp
    where_m = np.array(scene.camera.position_m, np.float32)[:, None] + depth_m * ray
    brightness = brightness * _shade(scene, where_m)
    through = np.exp(-np.float32(light.haze_per_m) * range_m)[:, None]
    picture[is_solid] = albedo * brightness[:, None] * through + np.array(light.haze, np.float32) * (1 - through)
    return picture


def _albedo(scene: Scene, surface: npt.NDArray[np.int16], u_m: Float32, v_m: Float32, footprint_m: Float32) -> Float32:
    materials = [material for thing in scene.things for material in (thing.sides, thing.top, thing.underside)]
    texture = np.array([TEXTURE_INDEX[material.texture] for material in materials], np.int32)
    base = np.array([material.base for material in materials], np.float32)
    second = np.array([material.second for material in materials], np.float32)
    channels = look_up(texture[surface], u_m, v_m, footprint_m)
    mix, factor = np.clip(channels[:, :1], 0, 1), np.maximum(channels[:, 1:], 0.1)
    albedo: Float32 = (base[surface] * (1 - mix) + second[surface] * mix) * factor
    return albedo


def _shade(scene: Scene, where_m: Float32) -> Float32:
    """What the soft shadows leave of the light, at points (3, n); they lie on the ground and fade 0.3 m above it."""
    shade = np.ones(where_m.shape[1], np.float32)
    low = np.flatnonzero(where_m[1] < 0.3)
    x_m, z_m = where_m[0, low], where_m[2, low]
    darkest = np.zeros(low.size, np.float32)
    for shadow in scene.shadows:
        near = ((x_m - shadow.x_m) ** 2 + (z_m - shadow.z_m) ** 2) * np.float32(1 / shadow.radius_m**2)
        np.maximum(darkest, np.exp(-near), out=darkest)
    shade[low] = 1 - SHADOW_DEPTH * darkest
    return shade


def _sky(light: Light, directions: Float32) -> Float32:
    """(n, 3): from the haze's colour at the horizon to the zenith's, with clouds."""
    length = np.sqrt((directions**2).sum(axis=0))
    height = np.clip(directions[1] / length, 0, 1)[:, None]
    blend = 1 - np.exp(-3.5 * height)
    sky = np.array(light.haze, np.float32) * (1 - blend) + np.array(light.zenith, np.float32) * blend
    flat = directions / (directions[1] + 0.35 * length)  # as on a ceiling of clouds that bends down to the horizon
    texture = np.full(length.size, TEXTURE_INDEX["clouds"], np.int32)
    cover = look_up(texture, flat[0] / 4, flat[2] / 4, np.zeros(length.size, np.float32))[:, :1]
    cover *= np.float32(light.clouds) * np.minimum(height * 4, 1)
    clouded: Float32 = sky * (1 - cover) + np.float32(0.95) * cover
    return clouded


def _photograph(picture: Float32, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Exposure, white balance, gamma, sensor noise, 8 bits."""
    gains = (rng.uniform(0.85, 1.15) * rng.uniform(0.96, 1.04, 3)).astype(np.float32)
    signal = np.clip(picture * gains, 0, 1) ** np.float32(SHUTTER_GAMMA)
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(0.004, 0.014))
    return np.asarray(np.clip((signal + noise) * 255 + 0.5, 0, 255), np.uint8)
