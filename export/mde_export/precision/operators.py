"""The arithmetic of each ONNX operator in half on a GPU: exact, rounded once, rounded in parts, or FP32 only.

Source: TensorRT's importer, onnxOpImporters.cpp and importerUtils.cpp of github.com/onnx/onnx-tensorrt, branch 10.1-GA
(commit 96e7811): an operator that it makes one layer of is rounded once, one that it makes several of is rounded after
each. A layer computes in FP32 registers and rounds its result. Later importers could not be read.
"""

import onnx_ir as ir

# These move, select or bound values: half in, half out, nothing to round.
EXACT = frozenset(
    {
        *(
            "Abs",
            "Ceil",
            "Clip",
            "Compress",
            "Concat",
            "DepthToSpace",
            "Dropout",
            "Expand",
            "Flatten",
            "Floor",
            "Gather",
        ),
        *(
            "GatherElements",
            "GatherND",
            "GlobalMaxPool",
            "Hardmax",
            "Identity",
            "Max",
            "MaxPool",
            "Min",
            "Neg",
            "OneHot",
        ),
        *("Pad", "ReduceMax", "ReduceMin", "Relu", "Reshape", "ReverseSequence", "Round", "Sign", "Slice"),
        *("SpaceToDepth", "Split", "Squeeze", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Where"),
    }
)

# The importer makes one layer of each (activationHelper, unaryHelper, elementwiseHelper, reduceTensor and the network's
# own add methods). Shrink is cast to FP32 and back there.
ONE_LAYER = frozenset(
    {
        *(
            "Acos",
            "Acosh",
            "Add",
            "Asin",
            "Asinh",
            "Atan",
            "Atanh",
            "AveragePool",
            "BatchNormalization",
            "Cast",
            "CastLike",
        ),
        *(
            "Constant",
            "ConstantOfShape",
            "Conv",
            "ConvTranspose",
            "Cos",
            "Cosh",
            "DeformConv",
            "DequantizeLinear",
            "Div",
        ),
        *(
            "Einsum",
            "Elu",
            "Erf",
            "Exp",
            "EyeLike",
            "GlobalAveragePool",
            "GridSample",
            "HardSigmoid",
            "LeakyRelu",
            "Log",
        ),
        *("MatMul", "Mul", "PRelu", "Pow", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
        *("Reciprocal", "ReduceMean", "ReduceProd", "ReduceSum", "Resize", "RoiAlign", "ScatterElements", "ScatterND"),
        *("Selu", "Shrink", "Sigmoid", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Tan", "Tanh"),
        *("ThresholdedRelu",),
    }
)

# Taken apart in `parts`. The importer does it with Gemm, HardSwish, LogSoftmax, LpNormalization, Mean, Mish, the
# reductions and Sum; Gelu and Softmax are layers whose inside is not published; LayerNormalization computes its first
# stage in FP32 (stash_type) and scales in half.
IN_PARTS = frozenset(
    {
        *("Gelu", "Gemm", "HardSwish", "LayerNormalization", "LogSoftmax", "LpNormalization", "Mean", "Mish"),
        *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "Softmax", "Sum"),
    }
)

# FP32 by rule. Normalisations sum squares; recurrent operators, CumSum and Mod are loops or rows of layers in the
# importer; LRN and pooling by norm take powers; the rest the importer of 10.1 does not know.
FLOAT_BY_RULE = frozenset(
    {
        *("AffineGrid", "Attention", "Bernoulli", "BitCast", "BlackmanWindow", "CenterCropPad", "Col2Im", "CumProd"),
        *("ConcatFromSequence", "CumSum", "DFT", "Det", "GRU", "GlobalLpPool", "GroupNormalization", "HammingWindow"),
        *("HannWindow", "If", "InstanceNormalization", "LRN", "LSTM", "Loop", "LpPool", "MaxRoiPool", "MaxUnpool"),
        *("MeanVarianceNormalization", "MelWeightMatrix", "Mod", "NegativeLogLikelihoodLoss", "OptionalGetElement"),
        *("RMSNormalization", "RNN", "RotaryEmbedding", "STFT", "Scan", "SequenceAt", "SoftmaxCrossEntropyLoss"),
        *("Swish", "TensorScatter", "Unique"),
    }
)


def is_emulated(node: ir.Node) -> bool:
    """Whether the emulation rounds the operator as a GPU does; what it cannot follow stays FP32."""
    if node.op_type == "Einsum":
        return len(node.inputs) <= 2  # of more the importer makes a chain, in an order of its own
    if node.op_type in ("ScatterElements", "ScatterND") and "reduction" in node.attributes:
        return node.attributes["reduction"].as_string() == "none"
    return node.domain == "" and node.op_type in EXACT | ONE_LAYER | IN_PARTS
