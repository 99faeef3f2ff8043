"""The request of an export: the command line, checked and typed."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from mde_export.request.choices import Accumulation, EngineChoice, GoldenFrames
from mde_export.request.described import Described
from mde_runtime.bundle import SUFFIX
from mde_runtime.contract import Contract
from mde_runtime.precision import Precision

PUBLISHED = "hf:"  # what a published network's name begins with

Batch = tuple[int, int, int]
Size = tuple[int, int]  # height, width; px


@dataclass(frozen=True)
class Request:
    """An export. None is what was not asked for."""

    model: str  # a file, `package.module:build`, or a published network: `hf:FOLDER`, `hf:ORG/NAME@REVISION`
    out: Path | None = None  # None: beside the model, with its stem
    precisions: tuple[Precision, ...] = ()  # beside FP32, and beside those that a bundle already holds
    frames: Path | None = None  # a data set or a folder of pictures to judge with
    num_frames: int | None = None  # how many of those, or of rendered ones; None: as many as a certificate needs
    contract: Path | None = None  # for a model that brings none
    described: Described = field(default_factory=Described)  # the same, flag by flag
    settings: tuple[str, ...] = ()  # KEY=VALUE of the contract: what no option says
    preset: str | None = None  # a key of `presets.PRESETS`: what neither graph nor flags say
    weights: Path | None = None  # for a module
    output: str | None = None  # which output of an ONNX graph or a module is the map: its name or index
    source_size: Size | None = None  # another size of the camera's frame
    scale: float | None = None  # of the network's quantity, fitted to a camera
    shift: float | None = None
    focal_px: float | None = None  # of the camera at the source size, for a network that is metric for one alone
    measured: Path | None = None  # distances to fit scale and shift to: a CSV file, or a data set with depth
    batch: Batch | None = None  # frames at once: fewest, usual, most; None: one
    target: str | None = None  # a key of `targets.TARGETS`; None: what all of them read
    accumulation: Accumulation = "float"  # of FP16's products; half: it must pass with sums in half as well
    engine: EngineChoice = "auto"
    golden: GoldenFrames = "heldout"  # the frames that go into the bundle; synth: rendered, private data
    emit: Path | None = None  # a folder for the plain graphs, the contract and the engine
    emit_core: Path | None = None  # a folder for the bare network and its inputs, for vendors' compilers
    keep_rejected: Path | None = None  # a folder for a graph that fails, and a report on it

    @property
    def is_published(self) -> bool:
        """Whether the model is a published network, `hf:FOLDER` or `hf:ORG/NAME`."""
        return self.model.startswith(PUBLISHED) and not Path(self.model).exists()

    @property
    def is_module(self) -> bool:
        """Whether the model is a Python function and not a file."""
        return ":" in self.model and not self.is_published and not Path(self.model).exists()

    @property
    def bundle(self) -> Path:
        """Where the bundle goes."""
        if self.out is not None:
            return self.out
        if self.is_published:
            name, _, _revision = self.model.removeprefix(PUBLISHED).partition("@")
            return Path(f"{Path(name).resolve().name}{SUFFIX}")
        if self.is_module:
            return Path(f"{self.model.partition(':')[0].rpartition('.')[2]}{SUFFIX}")
        return Path(self.model).with_suffix(SUFFIX)

    @property
    def most_at_once(self) -> int:
        """How many frames a graph must take at once."""
        return 1 if self.batch is None else self.batch[2]

    def calibrated(self, contract: Contract) -> Contract:
        """The contract with the scale and shift that were asked for."""
        from_network = contract.from_network
        scale = from_network.scale if self.scale is None else self.scale
        shift = from_network.shift if self.shift is None else self.shift
        return replace(contract, from_network=replace(from_network, scale=scale, shift=shift))
