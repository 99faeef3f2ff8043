"""The ONNX graph itself: reading it, the stages around a network, and its one canonical form."""
