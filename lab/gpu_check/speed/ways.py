"""The networks of the bench part, the ways to run them, and how long each may take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mde_bench.timing.candidates import Candidate
from mde_bench.timing.effort import Rounds
from mde_runtime.precision import Precision

Device = Literal["cuda", "cpu"]
SUBJECTS = "lab.subjects"
ESTIMATOR, CAPTURED = "estimator fp16", "captured graph alone fp16"
EAGER, COMPILED = "torch eager fp32", "torch.compile fp16, max-autotune"


@dataclass(frozen=True)
class Way:
    """One way to run a network."""

    name: str
    subject: str  # `module:function` of mde_bench.subjects
    precision: Precision
    options: Mapping[str, str | int] = field(default_factory=dict)  # beside `model` and `device`
    takes: Literal["checkpoint", "bundle"] = "bundle"
    open_s: float = 15.0  # reckoned: imports, CUDA's context, the first run
    networks: tuple[str, ...] = ()  # empty: all
    batches: tuple[int, ...] = ()  # empty: all
    engine: str | None = None  # the flavour of TensorRT that has to be built first

    def candidate(self, network: str, model: str, device: Device) -> Candidate:
        """As the bench's worker opens it."""
        options = {"model": model, "device": device, **self.options}
        return Candidate(f"{network} {self.name}", self.name, self.precision, f"{SUBJECTS}.{self.subject}", options)


def torch_way(
    name: str, precision: Precision, mode: str = "eager", tf32: int = 0, ready_for: str = "", **limits: object
) -> Way:
    """PyTorch, channels last, with the stages around the network. ready_for: sizes that it compiles for at opening."""
    options: dict[str, str | int] = {"precision": precision, "mode": mode, "tf32": tf32, "ready_for": ready_for}
    return Way(name, "torch_device:open_subject", precision, options, "checkpoint", **limits)  # type: ignore[arg-type]  # Way's own fields


WAYS = (
    torch_way(EAGER, "fp32"),
    torch_way("torch eager fp32, TF32", "fp32", tf32=1, batches=(1,)),
    torch_way("torch eager fp16", "fp16"),
    torch_way("torch.compile fp16", "fp16", "default", ready_for="1 32", open_s=50, batches=(1, 32)),
    torch_way(COMPILED, "fp16", "max-autotune", ready_for="1", open_s=100, networks=("fast",), batches=(1,)),
    Way("onnxruntime fp32, plain", "onnxruntime_plain:open_plain", "fp32", {"precision": "fp32"}, batches=(1, 32)),
    Way("onnxruntime fp16, plain", "onnxruntime_plain:open_plain", "fp16", {"precision": "fp16"}),
    Way(CAPTURED, "onnxruntime_plain:open_captured", "fp16", {"precision": "fp16"}),
    Way("estimator fp32", "estimator_device:open_subject", "fp32", {"backend": "onnxruntime", "precision": "fp32"}),
    Way(ESTIMATOR, "estimator_device:open_subject", "fp16", {"backend": "onnxruntime", "precision": "fp16"}),
    *(
        Way(
            f"estimator {flavour} fp16",
            "estimator_device:open_subject",
            "fp16",
            {"backend": flavour, "precision": "fp16"},
            open_s=40,
            networks=("fast", "resnet34-skip"),
            batches=(1,),
            engine=flavour,
        )
        for flavour in ("tensorrt-rtx", "tensorrt")
    ),
)


@dataclass(frozen=True)
class Aims:
    """What the estimator in FP16 is to reach at batch 1."""

    times_eager: float  # faster than torch eager fp32
    times_compiled: float  # faster than torch.compile max-autotune fp16
    overhead_s: float  # of a call over the captured graph and the copies


@dataclass(frozen=True)
class Setting:
    """What is measured on a device, and for how long."""

    device: Device
    networks: tuple[str, ...]
    size_px: tuple[int, int]
    batches: tuple[int, ...]
    ways: tuple[Way, ...]
    rounds: Rounds
    aims: Aims
    num_traced: int  # calls that are traced for their time on the GPU
    copy_bytes: int  # that are copied to learn the chip's rate
    matrix_side: int
    export_s: float  # reckoned, all networks at once
    trace_s: float  # reckoned, for one way and batch

    def ways_of(self, network: str, batch: int | None = None) -> tuple[Way, ...]:
        """The ways that a network is run; of one batch size, or of any."""
        return tuple(
            way
            for way in self.ways
            if (not way.networks or network in way.networks)
            and (batch is None or not way.batches or batch in way.batches)
        )

    def seconds_of(self, network: str) -> float:
        """The estimated time of measuring a network; its ways open side by side."""
        one_s = self.rounds.num_rounds * self.rounds.block_s + 3 * self.rounds.block_s + self.trace_s
        num_measured = sum(len(self.ways_of(network, batch)) for batch in self.batches)
        return max(way.open_s for way in self.ways_of(network)) + num_measured * one_s


GPU = Setting(
    device="cuda",
    networks=("fast", "resnet34-skip", "resnet34-seed", "fcrn"),
    size_px=(144, 256),
    batches=(1, 8, 32),
    ways=WAYS,
    rounds=Rounds(num_rounds=8, block_s=0.05, min_calls=5, max_windows=1, max_warm_up_s=1.0, max_s=40.0),
    aims=Aims(times_eager=5.0, times_compiled=1.3, overhead_s=30e-6),
    num_traced=20,
    copy_bytes=1 << 30,
    matrix_side=8192,
    export_s=60.0,
    trace_s=0.3,
)
REHEARSAL = Setting(  # the same path on a CPU, as small as it can be: its figures say nothing
    device="cpu",
    networks=("fast",),
    size_px=(32, 64),
    batches=(1, 2),
    ways=tuple(way for way in WAYS if "compile" not in way.name and way.engine is None),
    rounds=Rounds(num_rounds=4, block_s=0.01, min_calls=2, max_windows=1, max_warm_up_s=0.05, max_s=20.0),
    aims=Aims(times_eager=0.0, times_compiled=0.0, overhead_s=1e9),
    num_traced=2,
    copy_bytes=1 << 22,
    matrix_side=256,
    export_s=60.0,
    trace_s=0.1,
)
