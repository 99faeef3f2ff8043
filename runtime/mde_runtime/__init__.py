"""Depth in metres from one RGB frame, on the device. Loads numpy and the standard library, nothing else."""

__version__ = "0.1.0"
