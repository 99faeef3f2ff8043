"""Depth as a coloured picture with a scale in metres: for people, not for programs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from mde_runtime.colours import coloured, with_scale
from mde_runtime.contract import Contract
from mde_runtime.files import replacing
from mde_runtime.sinks import Prediction, Write, file_of


@contextlib.contextmanager
def writer(out: Path, contract: Contract) -> Iterator[Write]:
    """Write `NAME.colour.png` below `out`, coloured over the contract's range."""
    from_network = contract.from_network

    def write(prediction: Prediction) -> Path:
        colours = coloured(prediction.depth_m, from_network.near_m, from_network.far_m)
        path = file_of("colour", out, prediction.name)
        with replacing(path) as draft:
            Image.fromarray(with_scale(colours, from_network)).save(draft)
        return path

    yield write
