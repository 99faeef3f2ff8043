"""Values that some options of an export may have, said once for command, help and request; light to load."""

from collections.abc import Mapping
from typing import Any, Literal

from mde_runtime.engines.flavours import Flavour

Accumulation = Literal["float", "half"]  # of FP16's products
EngineChoice = Literal["auto", "none", Flavour]
GoldenFrames = Literal["heldout", "synth"]

# Of a contract that options say, where nobody says otherwise: pictures decode to RGB, OpenCV and PyTorch's interpolate
# resize so by default, data sets hold z. Said at every export. Any: each is its option's value.
ASSUMED: Mapping[str, Any] = {"colour": "rgb", "interpolation": "bilinear", "antialias": False, "distance": "z"}

MIN_FRAMES = 64  # below which frames prove nothing
