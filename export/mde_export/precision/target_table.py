"""The devices that a graph can be meant for, and what their libraries do not read. Light to load: --help shows it."""

from dataclasses import dataclass

from mde_runtime.engines.known_faults import known_fault

# Operators that no version from 10.0 on reads, in the list that TensorRT's importer publishes, docs/operators.md of
# github.com/onnx/onnx-tensorrt: as of branch 10.1-GA (2024-06) and of release 10.15, which agree on these. The lists of
# 10.3 and 11 were not at hand; what those versions read beyond 10.1 and 10.15 is refused without need.
UNREAD = frozenset(
    {
        *("AffineGrid", "Bernoulli", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"),
        *(
            "CenterCropPad",
            "Col2Im",
            "Compress",
            "ConcatFromSequence",
            "ConvInteger",
            "DFT",
            "Det",
            "DynamicQuantizeLinear",
        ),
        *("ImageDecoder", "MatMulInteger", "MaxRoiPool", "MaxUnpool", "MelWeightMatrix", "Multinomial"),
        *("NegativeLogLikelihoodLoss", "Optional", "OptionalGetElement", "OptionalHasElement", "QLinearConv"),
        *("QLinearMatMul", "RegexFullMatch", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase"),
        *("SequenceInsert", "SequenceLength", "SequenceMap", "SoftmaxCrossEntropyLoss", "SplitToSequence"),
        *("StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer", "Unique"),
    }
)
UNREAD_BEFORE_10_15 = UNREAD | {"BlackmanWindow", "HammingWindow", "HannWindow", "STFT"}  # N in the list of 10.1
# What `OnnxParser.supports_operator` of TensorRT-RTX 1.7.1 denies, asked for every operator of ONNX 1.23.
UNREAD_BY_RTX = UNREAD | {"DeformConv"}


@dataclass(frozen=True)
class Target:
    """A row of the table: a kind of device, in a word for `--help`, and the library on it."""

    help: str
    library: str
    newest_opset: int
    missing: frozenset[str] = frozenset()  # operators without an implementation there
    is_tensorrt: bool = True  # whether the forms of UNREAD_FORMS are refused
    grouped_half: bool = True  # whether grouped and depthwise convolution works in half

    @property
    def in_words(self) -> str:
        """The library, and a fault that is reported of it."""
        return f"{self.library} {self.warning}".rstrip()

    @property
    def warning(self) -> str:
        """A fault that is reported of the library, and what helps; empty where none is known."""
        library, _, version = self.library.partition(" ")
        fault = known_fault("tensorrt", version) if library == "TensorRT" else None
        return f"{fault.fault}; {fault.remedy}" if fault else ""


TARGETS = {
    "jetpack6": Target("Jetson with JetPack 6", "TensorRT 10.3", 20, UNREAD_BEFORE_10_15),
    "jetpack7": Target("Jetson with JetPack 7", "TensorRT 10.13 to 10.16", 22, UNREAD),
    # 11.2.1 has no FP16 kernel for grouped convolution on some GPUs (NVIDIA/TensorRT issue 4838)
    "trt11": Target("GPUs with TensorRT 11", "TensorRT 11", 22, UNREAD, grouped_half=False),
    "rtx": Target("desktop GPUs with TensorRT-RTX", "TensorRT-RTX 1.4", 22, UNREAD_BY_RTX),
    "cpu": Target("CPUs", "onnxruntime 1.22 or OpenVINO 2025", 22, is_tensorrt=False),
}
