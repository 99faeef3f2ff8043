"""Rooms: floor, walls and ceiling, furniture along the walls, tables, columns, balls; lit by a lamp at the camera."""

import numpy as np

from mde_train.data.synth.scene import CAMERA_HEIGHT_M, Camera, Light, Material, Scene, Shadow, Thing, colour, one_of
from mde_train.data.synth.shapes import Box, Ellipsoid, Pole

WALLS = ("plaster", "bricks", "stripes", "tiles", "plaster", "planks")
FLOORS = ("planks", "tiles", "chequer", "carpet", "slabs")


def room(rng: np.random.Generator) -> Scene:
    """A random room, from a closet of 3 m to a hall of 24 m, seen from anywhere in it in any direction."""
    is_hall = rng.random() < 0.25
    half_x_m, half_z_m = rng.uniform(6, 12, 2) if is_hall else rng.uniform(1.7, 5.5, 2)
    height_m = rng.uniform(4, 7) if is_hall else rng.uniform(2.3, 3.4)
    shell = Thing(
        Box((0.0, height_m / 2, 0.0), (half_x_m, height_m / 2, half_z_m), is_room=True),
        sides=Material(one_of(rng, WALLS), colour(rng, 0.35, 0.8, 0.18), colour(rng, 0.25, 0.7, 0.18)),
        top=Material(one_of(rng, ("panels", "plaster", "planks")), colour(rng, 0.5, 0.85, 0.1), (0.3, 0.3, 0.3)),
        underside=Material(one_of(rng, FLOORS), colour(rng, 0.15, 0.55, 0.35), colour(rng, 0.08, 0.45, 0.3)),
    )
    camera = Camera(
        (
            float(rng.uniform(-1, 1) * (half_x_m - 0.8)),
            float(rng.uniform(*CAMERA_HEIGHT_M)),
            float(rng.uniform(-1, 1) * (half_z_m - 0.8)),
        ),
        yaw=rng.uniform(-np.pi, np.pi),
        pitch=rng.normal(-0.03, 0.04),
        roll=rng.normal(0, 0.012),
    )
    things, shadows = [shell], []
    for _ in range(rng.integers(3, 8)):
        things += _on_wall(rng, half_x_m, half_z_m, height_m)
    for _ in range(rng.integers(4, 11)):
        stands, shadow = _STANDING[rng.integers(len(_STANDING))](rng, camera, half_x_m, half_z_m, height_m)
        things += stands
        shadows += shadow
    return Scene("room", camera, _lamp_light(rng), tuple(things), tuple(shadows))


def _lamp_light(rng: np.random.Generator) -> Light:
    dark = (0.02, 0.02, 0.02)
    return Light(rng.uniform(0.12, 0.25), 0.0, (0.0, 1.0, 0.0), rng.uniform(0.9, 1.2), 0.0, dark, dark, 0.0)


def _on_wall(rng: np.random.Generator, half_x_m: float, half_z_m: float, height_m: float) -> list[Thing]:
    """A door, a picture or a window on one of the four walls."""
    half_width_m, low_m, high_m, material = _PANELS[rng.integers(len(_PANELS))](rng)
    high_m = min(high_m, height_m - 0.1)
    along_x, sign = rng.random() < 0.5, rng.choice([-1, 1])
    reach_m = (half_x_m if along_x else half_z_m) - half_width_m - 0.1
    if reach_m <= 0:
        return []
    offset_m, middle_m, half_height_m = rng.uniform(-reach_m, reach_m), (low_m + high_m) / 2, (high_m - low_m) / 2
    if along_x:
        shape = Box((offset_m, middle_m, sign * half_z_m), (half_width_m, half_height_m, 0.04))
    else:
        shape = Box((sign * half_x_m, middle_m, offset_m), (0.04, half_height_m, half_width_m))
    return [Thing.of(shape, material)]


Panel = tuple[float, float, float, Material]


def _door(rng: np.random.Generator) -> Panel:
    return 0.45, 0.0, 2.05, Material("planks", colour(rng, 0.15, 0.6, 0.4), colour(rng, 0.1, 0.3, 0.3))


def _picture(rng: np.random.Generator) -> Panel:
    middle_m, half_m = rng.uniform(1.4, 1.8), rng.uniform(0.2, 0.5)
    picture = Material(
        one_of(rng, ("leaves", "chequer", "stripes")), colour(rng, 0.1, 0.8, 0.8), colour(rng, 0.1, 0.8, 0.8)
    )
    return rng.uniform(0.2, 0.7), middle_m - half_m, middle_m + half_m, picture


def _window(rng: np.random.Generator) -> Panel:
    return rng.uniform(0.5, 1.2), 0.9, rng.uniform(1.8, 2.2), Material("glass_front", (0.5, 0.5, 0.5), (0.9, 0.95, 1.0))


_PANELS = (_door, _picture, _window)

Standing = tuple[list[Thing], list[Shadow]]


def _free_spot(
    rng: np.random.Generator, camera: Camera, half_x_m: float, half_z_m: float, radius_m: float
) -> tuple[float, float] | None:
    """A spot on the floor in front of the camera, clear of the walls and not in its face."""
    for _ in range(8):
        distance_m = 1.2 + radius_m + rng.exponential(2.5)
        bearing = camera.yaw + rng.uniform(-0.8, 0.8)
        x_m = camera.position_m[0] + distance_m * np.sin(bearing)
        z_m = camera.position_m[2] + distance_m * np.cos(bearing)
        if abs(x_m) < half_x_m - radius_m and abs(z_m) < half_z_m - radius_m:
            return float(x_m), float(z_m)
    return None


def _wood(rng: np.random.Generator) -> Material:
    brown = rng.uniform(0.15, 0.6)
    base = (brown, brown * rng.uniform(0.6, 0.9), brown * rng.uniform(0.3, 0.8))
    return Material(one_of(rng, ("planks", "painted", "crate")), base, colour(rng, 0.08, 0.3, 0.2))


def _cupboard(rng: np.random.Generator, camera: Camera, half_x_m: float, half_z_m: float, height_m: float) -> Standing:
    """Against a wall."""
    half = (rng.uniform(0.3, 1.0), rng.uniform(0.35, min(1.1, height_m / 2 - 0.1)), rng.uniform(0.2, 0.35))
    along_x, sign = rng.random() < 0.5, rng.choice([-1, 1])
    wall_m, reach_m = (half_z_m, half_x_m) if along_x else (half_x_m, half_z_m)
    if reach_m <= half[0]:
        return [], []
    offset_m, out_m = rng.uniform(-1, 1) * (reach_m - half[0]), sign * (wall_m - half[2])
    x_m, z_m = (offset_m, out_m) if along_x else (out_m, offset_m)
    if np.hypot(x_m - camera.position_m[0], z_m - camera.position_m[2]) < 1.0 + half[0]:
        return [], []
    shape = Box((x_m, half[1], z_m), half, 0.0 if along_x else np.pi / 2)
    return [Thing.of(shape, _wood(rng))], [Shadow(x_m, z_m, 1.2 * half[0])]


def _table(rng: np.random.Generator, camera: Camera, half_x_m: float, half_z_m: float, _height_m: float) -> Standing:
    half_length_m, half_width_m = rng.uniform(0.4, 0.9), rng.uniform(0.3, 0.5)
    spot = _free_spot(rng, camera, half_x_m, half_z_m, half_length_m)
    if spot is None:
        return [], []
    x_m, z_m = spot
    yaw, high_m, wood = rng.uniform(0, np.pi), rng.uniform(0.45, 0.78), _wood(rng)
    top = Box((x_m, high_m - 0.025, z_m), (half_length_m, 0.025, half_width_m), yaw)
    things = [Thing.of(top, wood)]
    cos, sin = np.cos(yaw), np.sin(yaw)
    for across, along in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        leg_x, leg_z = across * (half_length_m - 0.06), along * (half_width_m - 0.06)
        foot = (x_m + cos * leg_x + sin * leg_z, 0.0, z_m + cos * leg_z - sin * leg_x)
        things.append(Thing.of(Pole(foot, 0.03, high_m - 0.05), wood))
    if rng.random() < 0.6:
        radius_m = rng.uniform(0.08, 0.18)
        ball = Ellipsoid((x_m, high_m + radius_m, z_m), (radius_m, radius_m, radius_m))
        things.append(Thing.of(ball, Material("painted", colour(rng, 0.1, 0.8, 0.9), (0.5, 0.5, 0.5))))
    return things, [Shadow(x_m, z_m, half_length_m)]


def _crate(rng: np.random.Generator, camera: Camera, half_x_m: float, half_z_m: float, _height_m: float) -> Standing:
    half_m = rng.uniform(0.2, 0.5)
    spot = _free_spot(rng, camera, half_x_m, half_z_m, half_m * 1.5)
    if spot is None:
        return [], []
    x_m, z_m = spot
    yaw, material = rng.uniform(0, np.pi), _wood(rng)
    things = [Thing.of(Box((x_m, half_m, z_m), (half_m, half_m, half_m), yaw), material)]
    if rng.random() < 0.3:
        upper_m = half_m * rng.uniform(0.5, 0.9)
        shape = Box((x_m, 2 * half_m + upper_m, z_m), (upper_m, upper_m, upper_m), rng.uniform(0, np.pi))
        things.append(Thing.of(shape, _wood(rng)))
    return things, [Shadow(x_m, z_m, 1.4 * half_m)]


def _ball(rng: np.random.Generator, camera: Camera, half_x_m: float, half_z_m: float, _height_m: float) -> Standing:
    radius_m = rng.uniform(0.12, 0.5)
    spot = _free_spot(rng, camera, half_x_m, half_z_m, radius_m)
    if spot is None:
        return [], []
    material = Material(
        one_of(rng, ("painted", "stripes", "chequer")), colour(rng, 0.1, 0.8, 0.9), colour(rng, 0.1, 0.8, 0.9)
    )
    shape = Ellipsoid((spot[0], radius_m, spot[1]), (radius_m, radius_m, radius_m))
    return [Thing.of(shape, material)], [Shadow(*spot, radius_m)]


def _column(rng: np.random.Generator, camera: Camera, half_x_m: float, half_z_m: float, height_m: float) -> Standing:
    radius_m = rng.uniform(0.06, 0.35)
    spot = _free_spot(rng, camera, half_x_m, half_z_m, radius_m + 0.2)
    if spot is None:
        return [], []
    material = Material(
        one_of(rng, ("plaster", "bricks", "tiles")), colour(rng, 0.2, 0.8, 0.3), colour(rng, 0.2, 0.6, 0.3)
    )
    return [Thing.of(Pole((spot[0], 0.0, spot[1]), radius_m, height_m), material)], [Shadow(*spot, 1.6 * radius_m)]


_STANDING = (_cupboard, _cupboard, _table, _crate, _ball, _column)
