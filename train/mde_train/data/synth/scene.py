"""A scene: a camera, a light, and things with materials."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mde_train.data.synth.shapes import Shape

Colour = tuple[float, float, float]  # linear, 0 to 1

HEIGHT_PX, WIDTH_PX = 144, 256
FOCAL_PX = 128.0  # 90 degrees across; one camera for all frames, or depth could not be told from one picture
CAMERA_HEIGHT_M = (1.35, 1.65)  # a narrow band, for the same reason
FAR_M = 100.0  # the sky's depth, and that of everything beyond


@dataclass(frozen=True)
class Material:
    """How a surface looks: a texture that mixes two colours."""

    texture: str
    base: Colour
    second: Colour


@dataclass(frozen=True)
class Thing:
    """A shape and what it is made of: its sides, its top, its underside."""

    shape: Shape
    sides: Material
    top: Material
    underside: Material

    @classmethod
    def of(cls, shape: Shape, material: Material) -> "Thing":
        """A thing of one material all over."""
        return cls(shape, material, material, material)


@dataclass(frozen=True)
class Shadow:
    """A soft dark patch on the ground under a thing: what shows that it stands there."""

    x_m: float
    z_m: float
    radius_m: float


@dataclass(frozen=True)
class Lens:
    """The size of a camera's frames and its focal length, both in px; the principal point is the frame's middle."""

    height_px: int = HEIGHT_PX
    width_px: int = WIDTH_PX
    focal_px: float = FOCAL_PX


LENS = Lens()


@dataclass(frozen=True)
class Camera:
    """Where the camera is and how it is turned. Angles in radians: yaw to the right, pitch up, roll clockwise."""

    position_m: tuple[float, float, float]
    yaw: float
    pitch: float
    roll: float
    lens: Lens = LENS

    def rotation(self) -> npt.NDArray[np.float32]:
        """(3, 3): from the camera's axes (x right, y up, z ahead) to the world's."""
        yaw, pitch, roll = self.yaw, self.pitch, self.roll
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
        lean = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        rotation: npt.NDArray[np.float32] = (turn @ nod @ lean).astype(np.float32)
        return rotation


@dataclass(frozen=True)
class Light:
    """What lights the scene. Outdoors sun and haze; indoors a lamp beside the camera, weaker with distance."""

    ambient: float
    sun: float
    sun_from: Colour  # unit vector towards the sun
    lamp: float
    haze_per_m: float
    haze: Colour  # its colour, and the sky's at the horizon
    zenith: Colour
    clouds: float


@dataclass(frozen=True)
class Scene:
    """All that a frame shows."""

    kind: str
    camera: Camera
    light: Light
    things: tuple[Thing, ...]
    shadows: tuple[Shadow, ...]


def colour(rng: np.random.Generator, darkest: float, brightest: float, saturation: float) -> Colour:
    """A random colour of a brightness in the range, at most so saturated."""
    value = rng.uniform(darkest, brightest)
    tint = rng.uniform(-1, 1, 3)
    mixed = np.clip(value * (1 + saturation * (tint - tint.mean())), 0.01, 1)
    return (float(mixed[0]), float(mixed[1]), float(mixed[2]))


def one_of(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    """One of the names, each as likely as another."""
    return names[rng.integers(len(names))]
