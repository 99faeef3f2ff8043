"""A stand-in for TensorRT's Python module: the names that the project uses, over the stand-in of CUDA's driver.

An engine is its ONNX graph and how it was built; running it queues a function on the stream that computes the graph
by onnxruntime on the CPU, from and to the stand-in's device memory. So everything holds but speed and kernels. Its
answers for what goes wrong are TensorRT's: None, False, and a line in the log.

FAKE_TRT_REFUSE: names of calls that give None or False, as `create_execution_context`; `name:2` only the second time.
FAKE_TRT_OFF_M: an engine's depth is off by so many metres, unless it was built in one of the ways of FAKE_TRT_CURES
(`marked`, `level<2`, `float:a+b`: these nodes are not half, or a hash's beginning of a graph). FAKE_TRT_DEVICE: whose
kernel timings are taken.
"""

# ruff: noqa: ARG002  the library's own names and signatures

import collections
import ctypes
import enum
import hashlib
import json
import os

import numpy as np
import onnx
import onnxruntime

MAGIC = b"fake engine\n"
TIMINGS = b"fake timings of "
ALIGNMENT_BYTES = 256
_num_asked: collections.Counter[str] = collections.Counter()
HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _refuses(name):
    """Whether the call of this name is to fail now."""
    _num_asked[name] += 1
    return any(
        asked == name and (not nth or int(nth) == _num_asked[name])
        for asked, _, nth in (entry.partition(":") for entry in os.environ.get("FAKE_TRT_REFUSE", "").split(","))
    )


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self):
        pass


class IProgressMonitor:
    def __init__(self):
        pass


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(enum.IntEnum):
    TF32 = 7
    VERSION_COMPATIBLE = 16


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class ProfilingVerbosity(enum.Enum):
    DETAILED = 2


class HardwareCompatibilityLevel(enum.Enum):
    NONE = 0
    AMPERE_PLUS = 1


class LayerInformationFormat(enum.Enum):
    ONELINE = 0
    JSON = 1


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(enum.Enum):
    FLOAT = onnx.TensorProto.FLOAT
    HALF = onnx.TensorProto.FLOAT16
    INT8 = onnx.TensorProto.INT8
    INT32 = onnx.TensorProto.INT32
    UINT8 = onnx.TensorProto.UINT8
    INT64 = onnx.TensorProto.INT64
    BOOL = onnx.TensorProto.BOOL


def nptype(dtype):
    return onnx.helper.tensor_dtype_to_np_dtype(dtype.value)


class ITensor:
    def __init__(self, value):
        self.name = value.name
        self.shape = tuple(axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim)
        self.dtype = _dtype(value)


def _dtype(value):
    known = {kind.value: kind for kind in DataType}
    return known.get(value.type.tensor_type.elem_type)


class ILayer:
    def __init__(self, node, tensors):
        self.name, self._inputs, self._outputs = node.name, node.input, node.output
        self.num_inputs, self.num_outputs, self._tensors = len(node.input), len(node.output), tensors

    def get_input(self, index):
        return self._tensors.get(self._inputs[index])  # None: weights

    def get_output(self, index):
        return self._tensors.get(self._outputs[index])


class INetworkDefinition:
    def __init__(self):
        self._model, self._marked, self._layers = onnx.ModelProto(), [], []

    def _take(self, model):
        self._model = onnx.shape_inference.infer_shapes(model)
        graph = self._model.graph
        values = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
        self._inputs = [ITensor(value) for value in graph.input]
        tensors = {name: ITensor(value) for name, value in values.items()}
        self._layers = [ILayer(node, tensors) for node in graph.node]
        self._outputs = [tensors[value.name] for value in graph.output]

    @property
    def num_inputs(self):
        return len(self._inputs)

    @property
    def num_outputs(self):
        return len(self._outputs) + len(self._marked)

    @property
    def num_layers(self):
        return len(self._layers)

    def get_input(self, index):
        return self._inputs[index]

    def get_output(self, index):
        return (*self._outputs, *(tensor for tensor, _ in self._marked))[index]

    def get_layer(self, index):
        return self._layers[index]

    def mark_output(self, tensor):
        self._marked.append((tensor, tensor.name))


class ParserError:
    def __init__(self, error):
        self._error = error

    def desc(self):
        return f"Failed to parse the ONNX model: {self._error}"

    def node_name(self):
        return ""

    def node_operator(self):
        return ""


class OnnxParser:
    def __init__(self, network, logger):
        self._network, self._errors = network, []

    def parse(self, content):
        try:
            model = onnx.load_from_string(content)
            onnx.checker.check_model(model)
            _session_of(content)
        except Exception as error:  # noqa: BLE001  whatever they say, TensorRT's answer is False
            self._errors.append(ParserError(error))
            return False
        self._network._take(model)
        return True

    def get_error(self, index):
        return self._errors[index]


def _session_of(content):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class IOptimizationProfile:
    def __init__(self):
        self._shapes = {}

    def set_shape(self, name, smallest, usual, largest):
        self._shapes[name] = tuple(smallest), tuple(usual), tuple(largest)


class ITimingCache:
    def __init__(self, device):
        self._device = device

    def serialize(self):
        return IHostMemory(TIMINGS + self._device.encode())


class IHostMemory(bytes):
    pass


class IBuilderConfig:
    def __init__(self):
        self.builder_optimization_level, self.progress_monitor, self.profiling_verbosity = 3, None, None
        self.hardware_compatibility_level = HardwareCompatibilityLevel.NONE
        self._flags, self._profiles, self._timings = {BuilderFlag.TF32}, [], None

    def set_memory_pool_limit(self, pool, num_bytes):
        assert isinstance(pool, MemoryPoolType)
        assert num_bytes >= 0

    def set_flag(self, flag):
        self._flags.add(flag)

    def clear_flag(self, flag):
        self._flags.discard(flag)

    def add_optimization_profile(self, profile):
        if _refuses("add_optimization_profile"):
            return -1
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, content):
        if _refuses("create_timing_cache") or (content and not content.startswith(TIMINGS)):
            return None
        return ITimingCache(content[len(TIMINGS) :].decode() if content else _device())

    def set_timing_cache(self, cache, ignore_mismatch):
        if _refuses("set_timing_cache") or (cache._device != _device() and not ignore_mismatch):
            return False
        self._timings = cache
        return True

    def get_timing_cache(self):
        return None if _refuses("get_timing_cache") else self._timings


def _device():
    return os.environ.get("FAKE_TRT_DEVICE", "H200")


class Builder:
    def __init__(self, logger):
        if _refuses("Builder"):
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger

    def create_network(self, flags):
        assert flags == 1 << int(NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return INetworkDefinition()

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        self._logger.log(ILogger.Severity.INFO, "the stand-in builds")
        if config.progress_monitor is not None:
            config.progress_monitor.phase_start("building", None, 2)
            if not all(config.progress_monitor.step_complete("building", step) for step in range(2)):
                return None
            config.progress_monitor.phase_finish("building")
        if _refuses("build_serialized_network"):
            self._logger.log(ILogger.Severity.ERROR, "Error Code 10: Could not find any implementation for node late.")
            return None
        content = network._model.SerializeToString()
        head = {
            "library": type(self).__module__,
            "version": os.environ.get("FAKE_TRT_VERSION", ""),
            "level": config.builder_optimization_level,
            "marked": [(tensor.name, name, tensor.shape, tensor.dtype.value) for tensor, name in network._marked],
            "shapes": config._profiles[0]._shapes if config._profiles else {},
            "graph": hashlib.sha256(content).hexdigest(),
            "half": _half_nodes(network._model.graph),
        }
        return IHostMemory(MAGIC + json.dumps(head).encode() + b"\n" + content)


def _half_nodes(graph):
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    return [node.name for node in graph.node if kinds.get(node.output[0]) == onnx.TensorProto.FLOAT16]


class Runtime:
    def __init__(self, logger):
        self._logger, self.engine_host_code_allowed = logger, False

    def deserialize_cuda_engine(self, content):
        is_refused = _refuses("deserialize_cuda_engine")
        if is_refused or not content.startswith(MAGIC):
            self._logger.log(ILogger.Severity.ERROR, "Serialization assertion failed: the magic tag does not match")
            return None
        head, _, graph = content[len(MAGIC) :].partition(b"\n")
        return ICudaEngine(json.loads(head), graph)


class ICudaEngine:
    def __init__(self, head, content):
        self._head, self._model, self._content = head, onnx.load_from_string(content), content
        graph = self._model.graph
        self._marked = {name: (tuple(shape), DataType(kind)) for name, _, shape, kind in head["marked"]}
        self._tensors = {value.name: value for value in (*graph.input, *graph.output)}
        self._inputs = [value.name for value in graph.input]

    @property
    def num_io_tensors(self):
        return len(self._tensors) + len(self._marked)

    def get_tensor_name(self, index):
        return [*self._tensors, *self._marked][index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name):
        return self._marked[name][0] if name in self._marked else ITensor(self._tensors[name]).shape

    def get_tensor_dtype(self, name):
        return self._marked[name][1] if name in self._marked else ITensor(self._tensors[name]).dtype

    def get_tensor_profile_shape(self, name, index):
        return [tuple(shape) for shape in self._head["shapes"][name]]

    def create_execution_context(self):
        return None if _refuses("create_execution_context") else IExecutionContext(self)

    def create_engine_inspector(self):
        return EngineInspector(self)


class EngineInspector:
    def __init__(self, engine):
        self._engine = engine

    def get_engine_information(self, form):
        assert form is LayerInformationFormat.JSON
        return json.dumps({"Layers": list(_layers(self._engine._model))})


def _layers(model):
    """The layers that multiply by weights, with what they compute in, as TensorRT's inspector has them."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    weights = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in graph.initializer}
    shapes = {value.name: ITensor(value).shape for value in (*graph.value_info, *graph.output)}
    made = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        name, kind = node.input[1], None
        while name in made and name not in weights:
            kind = "Int8" if made[name].op_type == "DequantizeLinear" else kind
            name = made[name].input[0]
        if name in weights:
            found, dims = weights[name]
            yield {
                "Name": node.name,
                "Metadata": f"[ONNX Layer: {node.name}]",
                "Weights": {
                    "Type": kind or ("Half" if found == onnx.TensorProto.FLOAT16 else "Float"),
                    "Count": int(np.prod(dims)),
                },
                "Outputs": [{"Dimensions": shapes.get(node.output[0], ())}],
            }


class IExecutionContext:
    def __init__(self, engine):
        self._engine, self._driver = engine, ctypes.CDLL("libcuda.so.1")
        self._driver.fake_cuda_host_address.restype = ctypes.c_void_p
        self._session = _session_of(engine._content)
        self._shapes, self._addresses, self._functions = {}, {}, {}

    def set_input_shape(self, name, shape):
        if _refuses("set_input_shape"):
            return False
        smallest, _, largest = self._engine.get_tensor_profile_shape(name, 0)
        is_within = all(low <= side <= high for low, side, high in zip(smallest, shape, largest, strict=True))
        if is_within:
            self._shapes[name] = tuple(shape)
        return is_within

    def infer_shapes(self):
        return [name for name in self._engine._inputs if -1 in self.get_tensor_shape(name)]

    def get_tensor_shape(self, name):
        if name in self._shapes:
            return self._shapes[name]
        batch = next(iter(self._shapes.values()), (-1,))[0]
        return tuple(batch if side == -1 else side for side in self._engine.get_tensor_shape(name))

    def set_tensor_address(self, name, pointer):
        if _refuses("set_tensor_address") or pointer % ALIGNMENT_BYTES or not self._at(pointer, self._bytes(name)):
            return False
        self._addresses[name] = pointer
        return True

    def execute_async_v3(self, stream):
        if _refuses("execute_async_v3") or len(self._addresses) != self._engine.num_io_tensors:
            return False
        bound = tuple(sorted(self._addresses.items()))
        if bound not in self._functions:  # kept: a captured graph calls it again and again
            self._functions[bound] = HOST_FUNCTION(lambda _, addresses=dict(bound): self._compute(addresses))
        return not self._driver.cuLaunchHostFunc(ctypes.c_void_p(stream), self._functions[bound], None)

    def _bytes(self, name):
        return (
            int(np.prod(self.get_tensor_shape(name))) * np.dtype(nptype(self._engine.get_tensor_dtype(name))).itemsize
        )

    def _at(self, pointer, num_bytes):
        return self._driver.fake_cuda_host_address(ctypes.c_uint64(pointer), ctypes.c_size_t(num_bytes))

    def _array(self, name, pointer):
        num_bytes = self._bytes(name)
        memory = (ctypes.c_uint8 * num_bytes).from_address(self._at(pointer, num_bytes))
        dtype = np.dtype(nptype(self._engine.get_tensor_dtype(name)))
        return np.frombuffer(memory, dtype).reshape(self.get_tensor_shape(name))

    def _compute(self, addresses):
        inputs = self._engine._inputs
        feeds = {name: self._array(name, addresses[name]).copy() for name in inputs}
        outputs = [name for name in self._engine._tensors if name not in inputs]
        for name, found in zip(outputs, self._session.run(outputs, feeds), strict=True):
            off_m = _off_m(self._engine._head) if name == "depth_m" else 0
            np.copyto(self._array(name, addresses[name]), found + found.dtype.type(off_m))


def _off_m(head):
    """How far this engine's depth is off."""
    cures = filter(None, os.environ.get("FAKE_TRT_CURES", "").split(","))
    return 0.0 if any(_is_cured(cure, head) for cure in cures) else float(os.environ.get("FAKE_TRT_OFF_M", "0"))


def _is_cured(cure, head):
    if cure == "marked":
        return bool(head["marked"])
    if cure.startswith("level<"):
        return head["level"] < int(cure.removeprefix("level<"))
    if cure.startswith("float:"):
        return not set(cure.removeprefix("float:").split("+")) & set(head["half"])
    return head["graph"].startswith(cure)
