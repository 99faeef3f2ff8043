"""What some options of an export may be. Said here once, for the command, its help and the request; light to load."""

from typing import Literal

from mde_runtime.engines.flavours import Flavour

Accumulation = Literal["float", "half"]  # of FP16's products
EngineChoice = Literal["auto", "none", Flavour]
GoldenFrames = Literal["heldout", "synth"]
