"""The bench of the GPU check: four networks, in PyTorch and ONNX Runtime, beside floors and aims."""
