"""The precisions of a bundle's graphs. Light to load: --help shows them."""

from typing import Literal

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
AUTO = "auto"  # in place of a precision or a backend: the choice is ours
