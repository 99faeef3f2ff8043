"""TensorRT by the stand-in. `__version__` is FAKE_TRT_VERSION, else one that has no known fault."""

import os

from fake_tensorrt import *  # noqa: F403  as the library has them

__version__ = os.environ.get("FAKE_TRT_VERSION", "10.13.3.9")
