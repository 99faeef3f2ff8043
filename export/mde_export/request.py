"""What is asked of an export: the command line, checked and typed."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mde_export.described import Described, Size
from mde_export.engine import EngineChoice
from mde_runtime.bundle import SUFFIX
from mde_runtime.certificate import Precision
from mde_runtime.contract import Contract

Batch = tuple[int, int, int]


@dataclass(frozen=True)
class Request:
    """An export. None is what was not asked for."""

    model: str  # a file, or `package.module:build`
    out: Path | None = None  # None: beside the model, with its stem
    precisions: tuple[Precision, ...] = ()  # beside FP32, and beside those that a bundle already holds
    frames: Path | None = None  # a data set or a folder of pictures to judge with
    contract: Path | None = None  # for a model that brings none
    described: Described = field(default_factory=Described)  # the same, flag by flag
    weights: Path | None = None  # for a module
    output: str | None = None  # which output of an ONNX graph is the map
    source_size: Size | None = None  # another size of the camera's frame
    scale: float | None = None  # of the network's quantity, fitted to a camera
    shift: float | None = None
    measured: Path | None = None  # distances to fit scale and shift to: a CSV file, or a data set with depth
    batch: Batch | None = None  # frames at once: fewest, usual, most; None: one
    target: str | None = None  # a key of `targets.TARGETS`; None: what all of them read
    engine: EngineChoice = "auto"
    golden: Literal["heldout", "synth"] = "heldout"  # the frames that go into the bundle; synth: rendered, private data
    emit: Path | None = None  # a folder for the plain graphs, the contract and the engine
    keep_rejected: Path | None = None  # a folder for a graph that fails, and a report on it

    @property
    def is_module(self) -> bool:
        """Whether the model is a Python function and not a file."""
        return ":" in self.model and not Path(self.model).exists()

    @property
    def bundle(self) -> Path:
        """Where the bundle goes."""
        if self.out is not None:
            return self.out
        if self.is_module:
            return Path(f"{self.model.partition(':')[0].rpartition('.')[2]}{SUFFIX}")
        return Path(self.model).with_suffix(SUFFIX)

    @property
    def most_at_once(self) -> int:
        """How many frames a graph must take at once."""
        return 1 if self.batch is None else self.batch[2]

    def calibrated(self, contract: Contract) -> Contract:
        """The contract with the scale and shift that were asked for."""
        wanted = contract.from_network
        scale = wanted.scale if self.scale is None else self.scale
        shift = wanted.shift if self.shift is None else self.shift
        return replace(contract, from_network=replace(wanted, scale=scale, shift=shift))
