"""The frames of the data set: which scene, which split, and which frames are left out."""

from dataclasses import replace
from typing import Literal

import numpy as np

from mde_train.data.synth.render import Rendered, render
from mde_train.data.synth.room import room
from mde_train.data.synth.scene import LENS, Lens, Scene
from mde_train.data.synth.street import street

STREET_SHARE = 0.6
VAL_EVERY = 5  # every fifth frame's scene is held out
LARGEST_WALL_SHARE = 0.55  # more is a bare wall: nothing in it tells how far it is
NEAREST_MEDIAN_M = 1.3


def split_of(index: int) -> str:
    """The split of a frame. Every frame is a scene of its own, so no scene is in both."""
    return "val" if index % VAL_EVERY == VAL_EVERY - 1 else "train"


Kind = Literal["all", "streets", "rooms"]


def make_frame(seed: int, index: int, lens: Lens = LENS, kind: Kind = "all") -> Rendered:
    """Frame `index` of the data set with this seed: the same however many are made, and in whichever order.

    A scene that shows too little is left out, and the frame's next scene takes its place.
    """
    attempt = 0
    while True:
        rng = np.random.default_rng([seed, index, attempt])
        scene = scene_of(rng, kind)
        rendered = render(replace(scene, camera=replace(scene.camera, lens=lens)), rng)
        if shows_enough(rendered):
            return rendered
        attempt += 1


def scene_of(rng: np.random.Generator, kind: Kind) -> Scene:
    """A random scene of a kind."""
    is_street = rng.random() < STREET_SHARE  # drawn for every kind, so that a kind's frames are those of all
    return (street if kind == "streets" or (kind == "all" and is_street) else room)(rng)


def shows_enough(rendered: Rendered) -> bool:
    """Whether a picture can tell its depth: not a bare wall, nothing held before the lens."""
    return rendered.largest_wall_share <= LARGEST_WALL_SHARE and bool(np.median(rendered.depth_m) >= NEAREST_MEDIAN_M)
