"""Metres for one camera: scale and shift of a network's quantity, fitted to measured distances."""
