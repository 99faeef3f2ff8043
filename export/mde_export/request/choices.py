"""Values that some options of an export may have, said once for command, help and request; light to load."""

from typing import Literal

from mde_runtime.engines.flavours import Flavour

Accumulation = Literal["float", "half"]  # of FP16's products
EngineChoice = Literal["auto", "none", Flavour]
GoldenFrames = Literal["heldout", "synth"]
