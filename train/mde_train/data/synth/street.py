"""Streets: a road between pavements, rows of buildings with gaps, cars, trees, poles, and what else stands about."""

import numpy as np

from mde_train.data.synth.scene import (
    CAMERA_HEIGHT_M,
    Camera,
    Colour,
    Light,
    Material,
    Scene,
    Shadow,
    Thing,
    colour,
    one_of,
)
from mde_train.data.synth.shapes import Box, Ellipsoid, Ground, Pole

HAZE_PER_M = 0.014  # one haze for all streets: how pale a thing is tells how far it is
STREET_END_M = 120.0
ROAD_HALF_WIDTH_M = 4.0  # the tile of the road's texture is 8 m: a double line in the middle, dashes at the edges

FACADES = ("window", "tall_windows", "glass_front", "brick_window", "bricks", "plaster", "window", "brick_window")


def street(rng: np.random.Generator) -> Scene:
    """A random street. The camera stands somewhere across it and looks down it, or aslant at one side."""
    pavement_m = rng.uniform(1.5, 4.5)
    edge_m = ROAD_HALF_WIDTH_M + pavement_m
    yaw = rng.normal(0, 0.25) if rng.random() < 0.65 else rng.uniform(-1.2, 1.2)
    camera = _camera(rng, rng.uniform(-edge_m + 0.7, edge_m - 0.7), yaw)
    things = _ground(rng, edge_m)
    for side in (-1, 1):
        if rng.random() < 0.9:
            things += _row_of_buildings(rng, side, edge_m)
    if rng.random() < 0.45:
        things.append(_end_of_street(rng))
    shadows: list[Shadow] = []
    for _ in range(rng.integers(5, 14)):
        stands, shadow = _STANDING[rng.choice(len(_STANDING), p=_STANDING_WEIGHTS)](rng, camera, edge_m)
        things += stands
        shadows += shadow
    return Scene("street", camera, _daylight(rng), tuple(things), tuple(shadows))


def _camera(rng: np.random.Generator, x_m: float, yaw: float) -> Camera:
    return Camera((x_m, rng.uniform(*CAMERA_HEIGHT_M), 0.0), yaw, pitch=rng.normal(0, 0.03), roll=rng.normal(0, 0.012))


def _daylight(rng: np.random.Generator) -> Light:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.2)
    sun_from = (
        float(np.cos(elevation) * np.sin(azimuth)),
        float(np.sin(elevation)),
        float(np.cos(elevation) * np.cos(azimuth)),
    )
    haze, green = rng.uniform(0.6, 0.85), rng.uniform(0.3, 0.6)
    return Light(
        ambient=rng.uniform(0.45, 0.7),
        sun=rng.uniform(0.1, 0.9),
        sun_from=sun_from,
        lamp=0.0,
        haze_per_m=HAZE_PER_M,
        haze=(haze * rng.uniform(0.94, 1.02), haze, haze * rng.uniform(0.98, 1.08)),
        zenith=(green * rng.uniform(0.4, 0.85), green, min(1.0, green * rng.uniform(1.2, 1.9))),
        clouds=rng.uniform(0, 1),
    )


def _ground(rng: np.random.Generator, edge_m: float) -> list[Thing]:
    grey = colour(rng, 0.12, 0.3, 0.1)
    beyond = one_of(rng, ("grass", "grass", "asphalt", "cobbles"))
    green = (rng.uniform(0.08, 0.2), rng.uniform(0.2, 0.35), rng.uniform(0.04, 0.12))
    beyond_base = green if beyond == "grass" else colour(rng, 0.2, 0.4, 0.15)
    pavement = Material(one_of(rng, ("slabs", "slabs", "cobbles", "asphalt")), colour(rng, 0.3, 0.55, 0.1), grey)
    road = Material(one_of(rng, ("road", "road", "asphalt", "cobbles")), grey, (0.75, 0.75, 0.7))
    shift_m = ROAD_HALF_WIDTH_M
    return [
        Thing.of(Ground(0.0, -1e4, 1e4), Material(beyond, beyond_base, colour(rng, 0.1, 0.3, 0.3))),
        Thing.of(Ground(0.0, -edge_m, edge_m), pavement),
        Thing.of(Ground(0.0, -shift_m, shift_m), road),
    ]


def _row_of_buildings(rng: np.random.Generator, side: int, edge_m: float) -> list[Thing]:
    buildings: list[Thing] = []
    z_m = rng.uniform(-14, -4)
    setback_m = rng.uniform(0, 1.5) if rng.random() < 0.7 else rng.uniform(2, 9)
    while z_m < STREET_END_M and len(buildings) < 9:
        length_m = rng.uniform(7, 20)
        if rng.random() < 0.8:
            depth_m, height_m = rng.uniform(6, 14), 3 * rng.integers(1, 6) + rng.uniform(0.2, 1.2)
            front_m = edge_m + setback_m + (rng.uniform(0, 2) if rng.random() < 0.4 else 0)
            centre = (side * (front_m + depth_m / 2), height_m / 2, z_m + length_m / 2)
            shape = Box(centre, (depth_m / 2, height_m / 2, length_m / 2))
            buildings.append(Thing.of(shape, _facade(rng)))
            z_m += length_m + (rng.uniform(1.5, 9) if rng.random() < 0.35 else 0)
        else:
            z_m += rng.uniform(4, 14)
    return buildings


def _end_of_street(rng: np.random.Generator) -> Thing:
    z_m, height_m = rng.uniform(14, 70), 3 * rng.integers(1, 6) + 0.8
    shape = Box((rng.uniform(-8, 8), height_m / 2, z_m + 5), (rng.uniform(6, 18), height_m / 2, 5.0))
    return Thing.of(shape, _facade(rng))


def _facade(rng: np.random.Generator) -> Material:
    texture = one_of(rng, FACADES)
    if texture == "bricks":
        return Material(texture, _brick(rng), colour(rng, 0.35, 0.55, 0.1))
    if texture == "brick_window":
        return Material(texture, _brick(rng), colour(rng, 0.08, 0.35, 0.2))
    if texture == "plaster":
        return Material(texture, colour(rng, 0.3, 0.7, 0.14), colour(rng, 0.25, 0.6, 0.14))
    return Material(texture, colour(rng, 0.2, 0.75, 0.16), colour(rng, 0.05, 0.3, 0.2))


def _brick(rng: np.random.Generator) -> Colour:
    red = rng.uniform(0.25, 0.5)
    return (red, red * rng.uniform(0.4, 0.75), red * rng.uniform(0.25, 0.6))


def _place(rng: np.random.Generator, camera: Camera, edge_m: float, lanes: bool) -> tuple[float, float]:
    """A spot in front of the camera, near ones more often: on the road's sides, or on the pavement."""
    z_m = 2.5 * (16 ** rng.random())  # 2.5 to 40 m, as many in each doubling
    if lanes:
        x_m = rng.choice([-1, 1]) * rng.uniform(1.6, ROAD_HALF_WIDTH_M - 1.0)
    else:
        x_m = rng.choice([-1, 1]) * rng.uniform(ROAD_HALF_WIDTH_M + 0.3, edge_m)
    if rng.random() < 0.35:  # else a camera that looks aside would see few things
        bearing = camera.yaw + rng.uniform(-0.7, 0.7)
        x_m = camera.position_m[0] + z_m * np.sin(bearing)
        z_m = z_m * np.cos(bearing)
        x_m = float(np.clip(x_m, -edge_m, edge_m))
    return float(x_m), float(z_m)


Standing = tuple[list[Thing], list[Shadow]]


def _car(rng: np.random.Generator, camera: Camera, edge_m: float) -> Standing:
    x_m, z_m = _place(rng, camera, edge_m, lanes=True)
    z_m += 2.5
    length_m, width_m = rng.uniform(3.6, 4.8), rng.uniform(1.6, 1.85)
    lower_m, upper_m = rng.uniform(0.65, 0.85), rng.uniform(0.5, 0.65)
    if rng.random() < 0.15:  # a van
        upper_m, length_m = rng.uniform(1.1, 1.5), rng.uniform(4.6, 5.6)
    yaw = rng.normal(0, 0.04) if rng.random() < 0.85 else rng.uniform(0, np.pi)
    paint = Material("car", colour(rng, 0.05, 0.7, rng.choice([0.05, 0.4, 0.8])), (0.04, 0.04, 0.04))
    glass = Material("painted", colour(rng, 0.04, 0.15, 0.2), (0.1, 0.1, 0.1))
    tyre = Material("painted", (0.03, 0.03, 0.03), (0.05, 0.05, 0.05))
    centre_m = 0.22 + lower_m / 2
    body = Box((x_m, centre_m, z_m), (width_m / 2, lower_m / 2, length_m / 2), yaw)
    cabin_half = (width_m * 0.44, upper_m / 2, length_m * 0.29)
    cabin = Box((x_m, 0.22 + lower_m + upper_m / 2, z_m), cabin_half, yaw)
    below = Box((x_m, 0.15, z_m), (width_m * 0.48, 0.15, length_m * 0.36), yaw)
    things = [Thing.of(below, tyre), Thing.of(body, paint), Thing(cabin, glass, paint, glass)]
    offset_x, offset_z = np.sin(yaw) * length_m / 4, np.cos(yaw) * length_m / 4
    shadows = [Shadow(x_m + sign * offset_x, z_m + sign * offset_z, 1.5) for sign in (-1, 1)]
    return things, shadows


def _tree(rng: np.random.Generator, camera: Camera, edge_m: float) -> Standing:
    x_m, z_m = _place(rng, camera, edge_m, lanes=False)
    trunk_m, crown_m = rng.uniform(1.8, 3.2), rng.uniform(1.2, 2.4)
    bark = Material("leaves", colour(rng, 0.1, 0.25, 0.3), (0.08, 0.05, 0.03))
    green = rng.uniform(0.12, 0.35)
    leaves = Material("leaves", (green * rng.uniform(0.4, 1.6), green, green * 0.3), (0.04, 0.08, 0.02))
    crown = Ellipsoid((x_m, trunk_m + crown_m * 0.8, z_m), (crown_m, crown_m * rng.uniform(0.8, 1.4), crown_m))
    trunk = Pole((x_m, 0.0, z_m), rng.uniform(0.1, 0.25), trunk_m + crown_m)
    return [Thing.of(trunk, bark), Thing.of(crown, leaves)], [Shadow(x_m, z_m, crown_m)]


def _bush(rng: np.random.Generator, camera: Camera, edge_m: float) -> Standing:
    x_m, z_m = _place(rng, camera, edge_m, lanes=False)
    radius_m, height_m = rng.uniform(0.4, 1.1), rng.uniform(0.4, 0.9)
    green = rng.uniform(0.12, 0.3)
    leaves = Material("leaves", (green * rng.uniform(0.4, 1.2), green, green * 0.3), (0.04, 0.08, 0.02))
    ball = Ellipsoid((x_m, height_m * 0.7, z_m), (radius_m, height_m, radius_m))
    return [Thing.of(ball, leaves)], [Shadow(x_m, z_m, radius_m * 1.2)]


def _lamp_post(rng: np.random.Generator, camera: Camera, edge_m: float) -> Standing:
    x_m, z_m = _place(rng, camera, edge_m, lanes=False)
    metal = Material("painted", colour(rng, 0.05, 0.4, 0.2), (0.2, 0.2, 0.2))
    height_m = rng.uniform(3.5, 6)
    globe = Ellipsoid((x_m, height_m, z_m), (0.25, 0.25, 0.25))
    white = Material("painted", (0.8, 0.8, 0.7), (0.8, 0.8, 0.7))
    return (
        [Thing.of(Pole((x_m, 0.0, z_m), rng.uniform(0.05, 0.1), height_m), metal), Thing.of(globe, white)],
        [Shadow(x_m, z_m, 0.3)],
    )


def _bollard(rng: np.random.Generator, camera: Camera, edge_m: float) -> Standing:
    x_m, z_m = _place(rng, camera, edge_m, lanes=False)
    paint = Material("stripes", colour(rng, 0.1, 0.8, 0.6), colour(rng, 0.05, 0.8, 0.6))
    radius_m = rng.uniform(0.07, 0.3)
    return [Thing.of(Pole((x_m, 0.0, z_m), radius_m, rng.uniform(0.8, 1.1)), paint)], [Shadow(x_m, z_m, 2.2 * radius_m)]


def _box(rng: np.random.Generator, camera: Camera, edge_m: float) -> Standing:
    x_m, z_m = _place(rng, camera, edge_m, lanes=False)
    half = (rng.uniform(0.25, 0.9), rng.uniform(0.25, 0.8), rng.uniform(0.25, 0.6))
    wood = Material(
        one_of(rng, ("crate", "painted", "bricks")), colour(rng, 0.15, 0.6, 0.5), colour(rng, 0.1, 0.3, 0.4)
    )
    shape = Box((x_m, half[1], z_m), half, rng.uniform(0, np.pi))
    return [Thing.of(shape, wood)], [Shadow(x_m, z_m, 1.3 * max(half[0], half[2]))]


def _sign(rng: np.random.Generator, camera: Camera, edge_m: float) -> Standing:
    x_m, z_m = _place(rng, camera, edge_m, lanes=False)
    height_m = rng.uniform(2.0, 2.8)
    metal = Material("painted", (0.35, 0.35, 0.36), (0.3, 0.3, 0.3))
    plate = Material("stripes", colour(rng, 0.1, 0.8, 0.9), colour(rng, 0.5, 0.9, 0.2))
    shape = Box((x_m, height_m, z_m - 0.08), (rng.uniform(0.25, 0.45), 0.3, 0.02), rng.normal(0, 0.2))
    return [Thing.of(Pole((x_m, 0.0, z_m), 0.04, height_m), metal), Thing.of(shape, plate)], [Shadow(x_m, z_m, 0.25)]


_STANDING = (_car, _tree, _bush, _lamp_post, _bollard, _box, _sign)
_STANDING_WEIGHTS = (0.28, 0.17, 0.12, 0.11, 0.11, 0.13, 0.08)
