"""An ONNX graph without the `onnx` package: its own bytes, and the form that CPUs run."""
