"""Accuracy: depth against ground truth, under a named protocol."""
