"""Backends that compute the tiny network by numpy, each off by as many metres as a test wants; for the layers above."""

import dataclasses
import json

import numpy as np

from mde_runtime.backends import Backend
from mde_runtime.engines import store
from mde_runtime.engines.build import DEFAULTS
from mde_runtime.engines.key import EngineKey

ROWS = {  # by names that a user can choose
    "tensorrt": Backend("stand_ins", "engine", "cuda"),
    "openvino": Backend("stand_ins", "first", "cpu"),
    "onnxruntime-cpu": Backend("stand_ins", "second", "cpu"),
}


@dataclasses.dataclass
class World:
    """The machine as it is now: its device, the version of its libraries, and what each makes of a graph."""

    device: str = "Orin"
    version: int = 1
    graphs_m: dict[str, float] = dataclasses.field(default_factory=dict)  # SHA-256 to how far its depth is off
    faults_m: dict[tuple[str, str, int], float] = dataclasses.field(default_factory=dict)  # variant, device, version

    def engine_key(self, graph_sha256):
        """Of the engine that this machine takes; the device stands where nothing asks CUDA for it."""
        return EngineKey(graph_sha256, "tensorrt", f"{self.version}.0", "", self.device, 0, DEFAULTS)


NOW = World()


def open(graph, variant, num_threads):  # noqa: ARG001  the seam of every backend
    """Open a graph as this machine does now."""
    if variant == "engine":
        content, record = store.find(NOW.engine_key(graph.sha256))
        return Engine(json.loads(content)["off_m"], variant, record.engine_sha256)
    graph.content()
    off_m = NOW.graphs_m[graph.sha256] + NOW.faults_m.get((variant, NOW.device, NOW.version), 0.0)
    return Session(off_m, variant)


class Session:
    """Depth is the mean of the colours, 0 to 20 m, and `off_m`."""

    max_batch, arithmetic = None, {"fp32": "fp32", "fp16": "fp16"}

    def __init__(self, off_m, name):
        self._off_m, self.device, self.executor = off_m, NOW.device, f"{name} {NOW.version}"

    def run(self, feeds, out=None):  # noqa: ARG002  the seam
        depth_m = feeds["frame"].astype(np.float32).mean(axis=-1) * np.float32(20 / 255) + np.float32(self._off_m)
        return {"depth_m": depth_m.astype(np.float32), "num_nonfinite": np.zeros(len(depth_m), np.int32)}

    def close(self):
        pass


class Engine(Session):
    def __init__(self, off_m, name, engine_sha256):
        super().__init__(off_m, name)
        self.engine_sha256 = engine_sha256

    def share_in(self, arithmetic, without):  # noqa: ARG002  as the protocol has it
        return 1.0
