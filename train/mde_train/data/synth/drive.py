"""Drives: one scene seen again and again while the camera moves through it, as a film of 30 frames per second."""

from dataclasses import replace

import numpy as np

from mde_train.data.synth.frames import Kind, scene_of, shows_enough
from mde_train.data.synth.render import Rendered, render
from mde_train.data.synth.scene import LENS, Camera, Lens, Scene

SPEED_M = {"street": 0.15, "room": 0.03}  # a frame: 4.5 m/s and 0.9 m/s
STREET_YAW = 0.3  # of the still's: a car looks ahead more than a pedestrian
SWAY_M, NOD = 0.01, 0.004  # of the camera up and down, metres, and of its pitch, radians
NEAREST_M = 0.3  # nearer, and the camera is about to drive into something


def make_drive(seed: int, index: int, num_frames: int, lens: Lens = LENS, kind: Kind = "all") -> list[Rendered]:
    """Drive `index` of the data set with this seed: the same however many are made, and in whichever order.

    A drive that comes too near to anything, or ends before a bare wall, is left out; its next scene takes its place.
    """
    attempt = 0
    while True:
        rng = np.random.default_rng([seed, index, attempt])
        scene = scene_of(rng, kind)
        frames: list[Rendered] = []
        while len(frames) < num_frames:
            rendered = render(replace(scene, camera=replace(_moved(scene, len(frames)), lens=lens)), rng)
            if not shows_enough(rendered) or rendered.depth_m.min() < NEAREST_M:
                break
            frames.append(rendered)
        if len(frames) == num_frames:
            return frames
        attempt += 1


def _moved(scene: Scene, frame: int) -> Camera:
    """The camera of a later frame: ahead along its own direction, with a car's or a walker's sway."""
    camera, way_m = scene.camera, SPEED_M[scene.kind] * frame
    yaw = camera.yaw * (STREET_YAW if scene.kind == "street" else 1.0)
    x_m, y_m, z_m = camera.position_m
    position_m = (
        x_m + float(np.sin(yaw)) * way_m,
        y_m + SWAY_M * float(np.sin(frame)),
        z_m + float(np.cos(yaw)) * way_m,
    )
    return replace(camera, position_m=position_m, yaw=yaw, pitch=camera.pitch + NOD * float(np.sin(1.3 * frame)))
