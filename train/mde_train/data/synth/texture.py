"""Surfaces with real sizes: bricks, slabs, planks, facades. What is near shows large, and so tells its distance.

A texture is a square tile with two channels: how much of the second colour, and a factor on the brightness. It is kept
at halving sizes, so that a far surface is looked up at the size of its pixels and does not flicker.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

SIDE_TX = 256  # of the finest level, in texels
NUM_LEVELS = 8  # 256 to 2 texels

# Coordinates of the texels, 0 to 1, v upwards.
_V, _U = np.meshgrid(*[(np.arange(SIDE_TX) + 0.5) / SIDE_TX] * 2, indexing="ij")

Mix = npt.NDArray[np.float64]


def _noise(rng: np.random.Generator, roughness: float) -> Mix:
    """Tileable noise of mean 0 and deviation 1; power falls with frequency to the power 2 * roughness."""
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE_TX) * SIDE_TX] * 2))
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((SIDE_TX, SIDE_TX))) / frequency**roughness
    noise: Mix = np.fft.ifft2(spectrum).real
    noise /= noise.std()
    return noise


def _grid(num_u: int, num_v: int, joint: float, *, staggered: bool = False) -> Mix:
    """1 on the joints of a grid of num_u x num_v cells, each joint as wide as the given share of the tile."""
    shift = 0.5 * (np.floor(_V * num_v) % 2) if staggered else 0.0
    to_u = np.abs((_U * num_u + shift + 0.5) % 1 - 0.5) / num_u
    to_v = np.abs((_V * num_v + 0.5) % 1 - 0.5) / num_v
    return (np.minimum(to_u, to_v) < joint / 2).astype(float)


def _cells(rng: np.random.Generator, num_u: int, num_v: int, spread: float, *, staggered: bool = False) -> Mix:
    """A random factor around 1 for each cell of a grid."""
    shift = 0.5 * (np.floor(_V * num_v) % 2) if staggered else 0.0
    column, row = np.floor(_U * num_u + shift).astype(int) % num_u, np.floor(_V * num_v).astype(int)
    factors: Mix = rng.uniform(1 - spread, 1 + spread, (num_v, num_u))
    spread_out: Mix = factors[row, column]
    return spread_out


def _inside(left: float, right: float, bottom: float, top: float) -> Mix:
    return ((left < _U) & (right > _U) & (bottom < _V) & (top > _V)).astype(float)


Tile = tuple[Mix, Mix]


def _asphalt(rng: np.random.Generator) -> Tile:
    return 0.25 + 0.15 * _noise(rng, 0.4), 1 + 0.06 * _noise(rng, 0.2) + 0.05 * _noise(rng, 1.2)


def _road(rng: np.random.Generator) -> Tile:
    line = ((np.abs(_U - 0.5) < 0.010) & (_V < 0.5)) | (np.abs(_U - 0.04) < 0.008) | (np.abs(_U - 0.96) < 0.008)
    return line.astype(float), 1 + 0.07 * _noise(rng, 0.3) + 0.08 * _noise(rng, 1.3)


def _slabs(rng: np.random.Generator) -> Tile:
    return _grid(4, 4, 0.012), _cells(rng, 4, 4, 0.15) + 0.04 * _noise(rng, 0.4)


def _cobbles(rng: np.random.Generator) -> Tile:
    return _grid(10, 16, 0.014, staggered=True), _cells(rng, 10, 16, 0.3, staggered=True) + 0.05 * _noise(rng, 0.4)


def _grass(rng: np.random.Generator) -> Tile:
    return 0.5 + 0.3 * _noise(rng, 0.9), 1 + 0.16 * _noise(rng, 0.25)


def _bricks(rng: np.random.Generator) -> Tile:
    mortar = _grid(5, 16, 0.009, staggered=True)
    return mortar, _cells(rng, 5, 16, 0.22, staggered=True) + 0.05 * _noise(rng, 0.3)


def _plaster(rng: np.random.Generator) -> Tile:
    return 0.3 + 0.25 * _noise(rng, 1.6), 1 + 0.03 * _noise(rng, 0.5)


def _window(rng: np.random.Generator) -> Tile:
    pane, frame = _inside(0.28, 0.72, 0.32, 0.82), _inside(0.24, 0.76, 0.27, 0.86)
    cross = _inside(0.49, 0.51, 0.3, 0.84) + _inside(0.26, 0.74, 0.60, 0.615)
    glass = pane * (1 - np.clip(cross, 0, 1))
    return glass, 1 + 0.25 * (frame - glass) + 0.04 * _noise(rng, 0.8) - 0.25 * _inside(0, 1, 0, 0.02)


def _tall_windows(rng: np.random.Generator) -> Tile:
    glass = sum(_inside(left, left + 0.19, 0.12, 0.88) for left in (0.06, 0.405, 0.75))
    sill = sum(_inside(left - 0.02, left + 0.21, 0.07, 0.12) for left in (0.06, 0.405, 0.75))
    return np.asarray(glass), 1 + 0.3 * np.asarray(sill) + 0.05 * _noise(rng, 0.7) - 0.3 * _inside(0, 1, 0.97, 1)


def _glass_front(rng: np.random.Generator) -> Tile:
    bars = _grid(3, 2, 0.03)
    return 1 - bars, _cells(rng, 3, 2, 0.25) + 0.2 * (_V - 0.5)


def _brick_window(rng: np.random.Generator) -> Tile:
    pane, frame = _inside(0.32, 0.68, 0.30, 0.80), _inside(0.29, 0.71, 0.26, 0.83)
    courses = _grid(12, 40, 0.004, staggered=True) * (1 - frame)
    return np.maximum(pane, 0.45 * courses), _cells(rng, 12, 40, 0.18, staggered=True) + 0.5 * (frame - pane)


def _planks(rng: np.random.Generator) -> Tile:
    along = np.repeat(_noise(rng, 1.0)[:, ::8].mean(axis=1, keepdims=True), SIDE_TX, axis=1)
    return _grid(1, 10, 0.01), _cells(rng, 1, 10, 0.25) + 0.04 * _noise(rng, 0.6) + 0.05 * along


def _tiles(rng: np.random.Generator) -> Tile:
    return _grid(5, 5, 0.018), _cells(rng, 5, 5, 0.06) + 0.02 * _noise(rng, 0.6)


def _chequer(rng: np.random.Generator) -> Tile:
    return (np.floor(_U * 4) + np.floor(_V * 4)) % 2, 1 + 0.04 * _noise(rng, 0.6)


def _carpet(rng: np.random.Generator) -> Tile:
    return 0.4 + 0.2 * _noise(rng, 0.2), 1 + 0.07 * _noise(rng, 0.3)


def _stripes(rng: np.random.Generator) -> Tile:
    return (np.floor(_U * 10) % 2 == 0).astype(float), 1 + 0.02 * _noise(rng, 0.8)


def _panels(rng: np.random.Generator) -> Tile:
    return _grid(4, 4, 0.015), _cells(rng, 4, 4, 0.04) + 0.03 * _noise(rng, 0.2)


def _crate(rng: np.random.Generator) -> Tile:
    boards = _grid(1, 6, 0.02)
    rim = 1 - _inside(0.1, 0.9, 0.1, 0.9)
    return np.maximum(boards, 0.5 * rim), 1 + 0.12 * _noise(rng, 0.7) + 0.15 * rim


def _leaves(rng: np.random.Generator) -> Tile:
    return (_noise(rng, 0.7) > 0).astype(float), 1 + 0.3 * _noise(rng, 0.6)


def _painted(rng: np.random.Generator) -> Tile:
    return np.zeros_like(_U), 1 + 0.02 * _noise(rng, 0.6)


def _car(rng: np.random.Generator) -> Tile:
    return _inside(0, 1, 0.0, 0.06) + _inside(0, 1, 0.94, 1.0), 1 + 0.02 * _noise(rng, 1.0) + 0.15 * (_V - 0.5)


def _clouds(rng: np.random.Generator) -> Tile:
    return np.clip(0.25 + 0.4 * _noise(rng, 1.7), 0, 1), np.ones_like(_U)


# name: how it is drawn, and the side of its tile in metres
TEXTURES: dict[str, tuple[Callable[[np.random.Generator], Tile], float]] = {
    "asphalt": (_asphalt, 3.0),
    "road": (_road, 8.0),
    "slabs": (_slabs, 2.0),
    "cobbles": (_cobbles, 1.6),
    "grass": (_grass, 4.0),
    "bricks": (_bricks, 1.25),
    "plaster": (_plaster, 4.0),
    "window": (_window, 3.0),
    "tall_windows": (_tall_windows, 3.2),
    "glass_front": (_glass_front, 3.6),
    "brick_window": (_brick_window, 3.0),
    "planks": (_planks, 1.5),
    "tiles": (_tiles, 1.5),
    "chequer": (_chequer, 2.0),
    "carpet": (_carpet, 2.0),
    "stripes": (_stripes, 2.0),
    "panels": (_panels, 2.4),
    "crate": (_crate, 0.9),
    "leaves": (_leaves, 1.2),
    "painted": (_painted, 2.0),
    "car": (_car, 0.8),
    "clouds": (_clouds, 1.0),
}

TEXTURE_INDEX = {name: index for index, name in enumerate(TEXTURES)}


@cache
def _atlas() -> tuple[Float32, npt.NDArray[np.int32]]:
    """Every texel of every texture and level, (texels, 2), and where each level begins, (textures, levels)."""
    texels, starts, start = [], [], 0
    for index, (draw, _) in enumerate(TEXTURES.values()):
        level = np.stack(draw(np.random.default_rng(index)), axis=-1).astype(np.float32)
        for _ in range(NUM_LEVELS):
            texels.append(level.reshape(-1, 2))
            starts.append(start)
            start += level.shape[0] ** 2
            level = level.reshape(level.shape[0] // 2, 2, -1, 2, 2).mean(axis=(1, 3))
    return np.concatenate(texels), np.array(starts, np.int32).reshape(len(TEXTURES), NUM_LEVELS)


TILE_M = np.array([side_m for _, side_m in TEXTURES.values()], np.float32)


def look_up(texture: npt.NDArray[np.int32], u_m: Float32, v_m: Float32, footprint_m: Float32) -> Float32:
    """The two channels, (n, 2), at n points of n textures. footprint_m: how much surface the pixel covers, metres."""
    texels, starts = _atlas()
    tile_m = TILE_M[texture]
    level = np.log2(np.maximum(footprint_m * (SIDE_TX / tile_m), 1.0)).astype(np.int32)
    level = np.minimum(level, NUM_LEVELS - 1)
    side = np.int32(SIDE_TX) >> level
    mask = side - 1
    u, v = u_m / tile_m * side - 0.5, v_m / tile_m * side - 0.5
    column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    weight_u, weight_v = (u - column)[:, None].astype(np.float32), (v - row)[:, None].astype(np.float32)
    left, right = column & mask, (column + 1) & mask
    start = starts[texture, level]
    lower, upper = start + (row & mask) * side, start + ((row + 1) & mask) * side
    below = texels[lower + left] * (1 - weight_u) + texels[lower + right] * weight_u
    above = texels[upper + left] * (1 - weight_u) + texels[upper + right] * weight_u
    found: Float32 = below * (1 - weight_v) + above * weight_v
    return found
