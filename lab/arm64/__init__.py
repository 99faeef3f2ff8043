"""The base and the `cpu` extra on an emulated Arm processor. It answers for numerics, never for speed."""
