"""The key of an engine: two engines share one only where one can stand for the other."""

from dataclasses import dataclass, replace

from mde_runtime import files, records
from mde_runtime.cuda import Gpu, open_cuda
from mde_runtime.engines.build import BuildOptions
from mde_runtime.engines.flavours import Flavour, version_of


@dataclass(frozen=True)
class EngineKey:
    """The whole graph's content, the library, the device and what was asked of the build.

    A TensorRT-RTX engine is finished on the device that runs it, so its options name the GPUs that it is for, and
    the device's fields are empty.
    """

    graph_sha256: str  # of the whole graph with its weights: caches that left the weights out gave wrong models
    flavour: Flavour
    version: str
    device: str
    compute_capability: str
    num_multiprocessors: int
    options: BuildOptions

    @property
    def name(self) -> str:
        """The file name of its engine."""
        return files.sha256_of(records.dumps(self).encode())

    @property
    def in_words(self) -> str:
        """For a message: what the engine was built by, and for which device."""
        capabilities = ", ".join(self.options.compute_capabilities) or self.compute_capability
        device = " of ".join(filter(None, (self.device, capabilities and f"compute capability {capabilities}")))
        return f"{self.flavour} {self.version} for {device or 'its default GPUs'}"

    def serves(self, other: "EngineKey") -> bool:
        """Whether its engine runs where `other` is asked for, whatever was asked of the build.

        One graph, one device and one library: of the same version, or of a later one where it was built for those.
        """
        is_newer = _numbers(other.version) > _numbers(self.version)
        version = other.version if self.options.version_compatible and is_newer else self.version
        return replace(self, options=other.options, version=version) == other


def key_for(graph_sha256: str, flavour: Flavour, options: BuildOptions) -> EngineKey:
    """The key of a graph's engine on this machine. Raises MachineError where the library or the GPU is missing."""
    version = version_of(flavour)
    if flavour == "tensorrt-rtx":
        return EngineKey(graph_sha256, flavour, version, "", "", 0, options)
    gpu = open_cuda().gpu()
    return EngineKey(graph_sha256, flavour, version, gpu.name, gpu.compute_capability, gpu.num_multiprocessors, options)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


@dataclass(frozen=True)
class EngineRecord:
    """What is kept beside an engine."""

    key: EngineKey
    engine_sha256: str
    size_bytes: int
    build_s: float
    gpu: Gpu | None  # that it was built on; when driver or memory change, it is verified again and not rebuilt
