"""An engine from an ONNX graph: one recipe for TensorRT 10.3 to 11.x and TensorRT-RTX.

A strongly typed network: the graph carries its precision, and no precision flag is ever set. Every call of the
library that fails returns None or False and writes to its log; here that becomes one error with node and cause.
"""

import collections
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mde_runtime import files, process
from mde_runtime.engines.build_log import BuildLog, build_monitor
from mde_runtime.engines.flavours import Flavour, library_of
from mde_runtime.errors import MachineError, UsageError
from mde_runtime.numbers import shown

# Without a driver the library adds this line to every error, whatever the error was.
REMEDY = (
    "if a node is named, export with --engine on a machine that has this library, to keep the node in FP32; else "
    "export another precision, or read the log of --log FILE"
)
# Error 10 of the library; fused nodes are joined by ` + `, a compiled region is {ForeignNode[first...last]}.
WITHOUT_IMPLEMENTATION = re.compile(r"[Cc]ould not find any implementation for node (.+?)(?: due to|\.?\)|\.\s|\.?$)")
REGION = re.compile(r"ForeignNode\[(.+?)\.\.\.(.+?)\]")
UNRELATED = re.compile(r"cudaError 35|CUDA driver version is insufficient")
MARK = "marked: "  # begins the name of an output that is there to break fusion
MAX_WORKSPACE_MIB = 1 << 44  # as bytes it would have more than 64 bits
MAX_BATCH = 1 << 16  # frames at once; beyond, TensorRT's 32 bits overflow before any GPU's memory would do
MAX_LEVEL = 5


@dataclass(frozen=True)
class BuildOptions:
    """What may be asked of a build. Part of the engine's key, so two engines of other options never meet."""

    workspace_mib: int = 1024  # scratch memory of a layer: the library's own default is all there is, shared on Jetson
    optimization_level: int = 3  # 0 to 5: more tries more kernels, and takes longer to build
    batch: tuple[int, int, int] = (1, 1, 1)  # smallest, usual and largest, for a graph whose batch is open
    tf32: bool = False  # TF32 rounds FP32 to 10 bits of mantissa, so it is off unless asked for
    hardware_compatible: bool = False  # runs on later GPUs, too, a little slower
    version_compatible: bool = False  # runs on later versions of TensorRT, too; carries code of its own for that
    marked_outputs: bool = False  # every tensor that several layers read is an output as well, which breaks fusion
    compute_capabilities: tuple[str, ...] = ()  # TensorRT-RTX, e.g. 8.6: GPUs to build for; none: its portable default

    def __post_init__(self) -> None:
        smallest, usual, largest = self.batch
        if not 1 <= smallest <= usual <= largest <= MAX_BATCH:
            raise UsageError(
                f"batch {self.batch} is not smallest <= usual <= largest, from 1 to {MAX_BATCH}; use for example 1, "
                "4, 16"
            )
        if not 0 <= self.optimization_level <= MAX_LEVEL:
            raise UsageError(f"optimization level {self.optimization_level} is not 0 to {MAX_LEVEL}; give one of these")
        if not 0 <= self.workspace_mib < MAX_WORKSPACE_MIB:
            raise UsageError(f"{self.workspace_mib} MiB is not a workspace limit; use for example 1024")


DEFAULTS = BuildOptions()


class RefusedError(MachineError):
    """The library cannot take or build a graph; `regions` are the nodes that it names, as (first, last)."""

    def __init__(self, message: str, regions: tuple[tuple[str, str], ...]):
        super().__init__(message)
        self.regions = regions


def build_engine(
    graph: bytes,
    flavour: Flavour,
    options: BuildOptions = DEFAULTS,
    *,
    timing_cache: Path | None = None,
    log_file: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> bytes:
    """Build the engine of an ONNX graph. TensorRT needs the GPU that the engine is for; TensorRT-RTX needs none.

    timing_cache: a file of kernel timings, used and kept up to date. log_file: where the library's log goes.
    advance: called at every step of the builder; what it raises ends the build, and is raised here. So does Ctrl-C.
    Raises MachineError that names the node and the cause.
    """
    library = library_of(flavour)
    log = BuildLog(library)
    try:
        with process.holding_ctrl_c() as is_pressed:
            return _build(library, log, graph, flavour, options, timing_cache, advance, is_pressed)
    except BaseException as error:
        # The builder dies here, not in a later garbage collection: its destructor takes the lock that the library holds
        # while it logs, so a collection inside another build's log would wait for itself.
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        if log_file is not None:
            files.write_text(log_file, log.text)


def _build(
    library: Any,  # Any: neither TensorRT publishes types
    log: BuildLog,
    graph: bytes,
    flavour: Flavour,
    options: BuildOptions,
    timing_cache: Path | None,
    advance: Callable[[], None],
    is_pressed: Callable[[], bool],
) -> bytes:
    name = f"{flavour} {library.__version__}"
    try:
        builder = library.Builder(log.logger)
    except TypeError as error:  # what pybind11 makes of a constructor that gave nothing
        raise MachineError(f"{name} cannot start a builder ({log.cause(UNRELATED)}); run mde-doctor") from error
    network = builder.create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = library.OnnxParser(network, log.logger)  # holds the network's weights: it must live until all is built
    _parse(parser, graph, name)
    if options.marked_outputs:
        _mark_outputs(library, network)
    config = _configure(library, builder, network, options)
    monitor = build_monitor(library, log.caught, advance, is_pressed)  # config does not keep it alive
    config.progress_monitor = monitor
    if timing_cache is not None:
        _take_timings(config, timing_cache)
    built = builder.build_serialized_network(network, config)
    log.caught.raise_first()
    if built is None:
        cause = log.cause(UNRELATED)
        raise RefusedError(f"{name} cannot build the graph: {cause}; {REMEDY}", regions_of(cause))
    if timing_cache is not None:
        _keep_timings(config, timing_cache)
    return bytes(built)


def _take_timings(config: Any, path: Path) -> None:
    """Let a build use the timings of those before it; none where the library refuses them, or they cannot be read."""
    try:
        known = path.read_bytes()
    except OSError:
        known = b""
    for content in (known, b""):
        timings = config.create_timing_cache(content)
        if timings is not None and config.set_timing_cache(timings, ignore_mismatch=False):
            return


def _keep_timings(config: Any, path: Path) -> None:
    """Keep the timings of a build for the next. A cache that cannot be written never costs the engine."""
    from mde_runtime import cache  # it loads numpy, which --help spares

    timings = config.get_timing_cache()
    content = timings.serialize() if timings is not None else None
    if content is None:
        return
    try:
        cache.write(path, bytes(content))
    except MachineError as error:
        cache.ignore(path, str(error).partition(";")[0])


def _parse(parser: Any, graph: bytes, name: str) -> None:
    if not parser.parse(graph):
        error = parser.get_error(0)
        node = " ".join(filter(None, (error.node_name(), error.node_operator() and f"({error.node_operator()})")))
        lines = [line for line in error.desc().splitlines() if not UNRELATED.search(line)]
        told = error.node_name()
        raise RefusedError(
            f"{name} cannot read the graph: {f'{node}: ' if node else ''}{' '.join(lines)}; {REMEDY}",
            ((told, told),) if told else (),
        )


def _mark_outputs(library: Any, network: Any) -> None:
    """Make an output of every float tensor that several layers read: what is written out is not fused across."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    read = (layer.get_input(index) for layer in layers for index in range(layer.num_inputs))
    readers = collections.Counter(tensor.name for tensor in read if tensor is not None)  # None: left out
    outputs = {network.get_output(index).name for index in range(network.num_outputs)}
    floats = (library.DataType.FLOAT, library.DataType.HALF)
    for layer in layers:
        for index in range(layer.num_outputs):
            tensor = layer.get_output(index)
            if readers[tensor.name] > 1 and tensor.name not in outputs and tensor.dtype in floats:
                tensor.name = f"{MARK}{tensor.name}"
                network.mark_output(tensor)


def regions_of(cause: str) -> tuple[tuple[str, str], ...]:
    """The nodes for which a builder says that it has no implementation, as (first, last); empty where it names none."""
    found = WITHOUT_IMPLEMENTATION.search(cause)
    if found is None:
        return ()
    if region := REGION.search(found[1]):
        first, last = region.groups()
        return ((first, last),)
    return tuple((name, name) for name in found[1].split(" + "))


def _configure(library: Any, builder: Any, network: Any, options: BuildOptions) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    config.builder_optimization_level = options.optimization_level
    config.profiling_verbosity = library.ProfilingVerbosity.DETAILED  # so that the inspector can tell each precision
    if not options.tf32:
        config.clear_flag(library.BuilderFlag.TF32)  # on by default
    if capturable := getattr(library.BuilderFlag, "REQUIRE_USER_ALLOCATION", None):
        config.set_flag(capturable)  # TensorRT-RTX: its release notes ask for it where a stream is captured
    if options.hardware_compatible:
        config.hardware_compatibility_level = library.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.version_compatible:
        config.set_flag(library.BuilderFlag.VERSION_COMPATIBLE)
    if options.compute_capabilities:
        _target(library, config, options.compute_capabilities)
    _add_profile(builder, network, config, options.batch)
    return config


def _target(library: Any, config: Any, capabilities: tuple[str, ...]) -> None:
    known = getattr(library, "ComputeCapability", None)
    if known is None:
        raise UsageError("compute capabilities can be chosen for tensorrt-rtx only; tensorrt builds for its own GPU")
    members = {f"{name[2:-1]}.{name[-1]}": value for name, value in known.__members__.items() if name.startswith("SM")}
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        if capability not in members:
            has = f"it has {', '.join(members)}"
            raise UsageError(f"no compute capability {shown(capability)} in this tensorrt-rtx; {has}")
        config.set_compute_capability(members[capability], index)


def _add_profile(builder: Any, network: Any, config: Any, batch: tuple[int, int, int]) -> None:
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    is_open = [tensor for tensor in tensors if -1 in tuple(tensor.shape)]
    if not is_open:
        return
    profile = builder.create_optimization_profile()
    for tensor in is_open:
        _, *rest = tensor.shape
        if -1 in rest:
            raise MachineError(
                f"the graph's input {tensor.name} has shape {tuple(tensor.shape)}: only N may be dynamic; export it "
                "again with a fixed height and width"
            )
        profile.set_shape(tensor.name, *((size, *rest) for size in batch))
    if config.add_optimization_profile(profile) < 0:
        raise MachineError(f"the builder refuses batches of {batch[0]} to {batch[2]} frames; give another --max-batch")
