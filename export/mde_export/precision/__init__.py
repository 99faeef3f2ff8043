"""FP16 and INT8: from the FP32 graph to one of a lower precision that passes, and what stays FP32 in it."""
