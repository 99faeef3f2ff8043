"""What some options of an export may be. Said here once, for the command, its help and the request; light to load."""

from typing import Literal

Accumulation = Literal["float", "half"]  # of FP16's products
EngineChoice = Literal["auto", "none", "tensorrt", "tensorrt-rtx"]
GoldenFrames = Literal["heldout", "synth"]
