"""Fixtures of every room: a cache of their own, and a bundle small enough to be made for each test."""

import contextlib
import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from PIL import Image

from mde_runtime import files, parity
from mde_runtime.bundle import MANIFEST, Golden, Provenance, stored_zip, write_bundle
from mde_runtime.certificate import SCHEMA, Certificate, Island
from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork
from mde_runtime.parity import Limits
from mde_runtime.precision import Precision

HEIGHT_PX, WIDTH_PX = 24, 32

with contextlib.suppress(ImportError):  # a robot's tests need none of it
    import hypothesis

    # A machine that is busy is no fault of the code.
    hypothesis.settings.register_profile(
        "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are folded at COLUMNS, which the environment may have."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("cache")
    folder.chmod(0o700)
    monkeypatch.setenv("MDE_CACHE", str(folder))


@pytest.fixture
def tiny_contract() -> Contract:
    """The contract of `tiny_bundle`: 24x32 px frames, 0 to 20 m."""
    return Contract(
        source=SourceFrame(height_px=HEIGHT_PX, width_px=WIDTH_PX, colour="rgb", dtype="uint8", layout="NHWC"),
        to_network=ToNetwork(
            height_px=HEIGHT_PX,
            width_px=WIDTH_PX,
            multiple_of_px=8,
            resize="stretch",
            interpolation="bilinear",
            antialias=False,
            align_corners=False,
            rounding="none",
            pad_px=(0, 0, 0, 0),
            padding="zero",
            fill="zero",
            scale=1 / 255,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
        ),
        from_network=FromNetwork(
            kind="metric_depth",
            unit="m",
            near_m=0.0,
            far_m=20.0,
            distance="z",
            covers=(0, 0, HEIGHT_PX, WIDTH_PX),
            interpolation="bilinear",
            antialias=False,
            align_corners=False,
            via_input=True,
            inversion="before_resize",
            scale=1.0,
            shift=0.0,
            canonical_focal_px=None,
        ),
        intrinsics=None,
    )


@pytest.fixture
def tiny_frames() -> np.ndarray:
    """Eight frames, uint8 (8, 24, 32, 3): a ramp from near to far with a little texture, another in each frame."""
    chance = np.random.default_rng(7)
    ramp = np.linspace(10, 240, HEIGHT_PX)[None, :, None, None]
    texture = chance.integers(-8, 8, (8, HEIGHT_PX, WIDTH_PX, 3))
    return np.clip(ramp + texture, 0, 255).astype(np.uint8)


def depth_of(frames: np.ndarray) -> np.ndarray:
    """What the tiny network makes of frames: the mean of the colours, 0 to 20 m."""
    return (frames.astype(np.float32).mean(axis=-1) * np.float32(20 / 255)).astype(np.float32)


def graph_of(kind: str = "FLOAT", offset_m: float = 0.0, far_m: float = 20.0) -> bytes:
    """The tiny network as an exported graph. kind: FLOAT, FLOAT16 or INT8. offset_m: how wrong it is."""
    number = onnx.TensorProto.FLOAT16 if kind == "FLOAT16" else onnx.TensorProto.FLOAT
    levels = "step = Constant <value_float = 1.0> () levels = QuantizeLinear (exact, step)"
    mean = f"{levels} mean = DequantizeLinear (levels, step)" if kind == "INT8" else "mean = Identity (exact)"
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["": 20]>
        tiny (uint8[N, {HEIGHT_PX}, {WIDTH_PX}, 3] frame)
            => (float[N, {HEIGHT_PX}, {WIDTH_PX}] depth_m, int32[N] num_nonfinite)
        {{
            values = Cast <to = {number}> (frame)
            channels = Constant <value_ints = [3]> ()
            exact = ReduceMean <keepdims = 0> (values, channels)
            {mean}
            wide = Cast <to = 1> (mean)
            metres = Constant <value_float = {20 / 255}> ()
            scaled = Mul (wide, metres)
            offset = Constant <value_float = {offset_m}> ()
            raw = Add (scaled, offset)
            bad = IsNaN (raw)
            counts = Cast <to = 6> (bad)
            sides = Constant <value_ints = [1, 2]> ()
            num_nonfinite = ReduceSum <keepdims = 0> (counts, sides)
            near = Constant <value_float = 0.0> ()
            far = Constant <value_float = {far_m}> ()
            depth_m = Clip (raw, near, far)
        }}""")
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture
def tiny_graph() -> Callable[..., bytes]:
    """`graph_of`: the tiny network's graph, in another precision or wrong by some metres."""
    return graph_of


@pytest.fixture
def tiny_depth() -> Callable[[np.ndarray], np.ndarray]:
    """`depth_of`: the tiny network's answer, computed by numpy."""
    return depth_of


@pytest.fixture
def make_bundle(tmp_path: Path, tiny_contract: Contract, tiny_frames: np.ndarray) -> Callable[..., Path]:
    """A function that writes a bundle: other graphs than the tiny one's, another golden depth, or another contract."""

    def make(
        name: str = "tiny.mde",
        graphs: dict[Precision, bytes] | None = None,
        depth_m: np.ndarray | None = None,
        contract: Contract = tiny_contract,
        kept_fp32: tuple[Island, ...] = (),
        frames: np.ndarray = tiny_frames,
    ) -> Path:
        graphs = graphs or {"fp32": graph_of(), "fp16": graph_of("FLOAT16")}
        depth_m = depth_of(frames) if depth_m is None else depth_m
        certificates = {
            precision: Certificate(
                schema=SCHEMA,
                precision=precision,
                graph_sha256=files.sha256_of(graph),
                reference="the tiny network",
                executor="none: a test's bundle",
                frames_source="drawn",
                frames_sha256=files.sha256_of(frames.tobytes()),
                limits=Limits.of(precision, contract.from_network),
                parity=parity.measure(depth_m, depth_m, 0, contract),
                unsigned=None,
                half_accumulation=None,
                kept_fp32=kept_fp32,
                derived_from=None,
                truth_rmse_m=None,
            )
            for precision, graph in graphs.items()
        }
        path = tmp_path / name
        provenance = Provenance("onnx", "tiny", "0" * 64, None, None, {})
        write_bundle(path, contract, provenance, graphs, certificates, Golden(frames, depth_m))
        return path

    return make


@pytest.fixture
def with_member() -> Callable[[Path, str, bytes], None]:
    """A function that gives a bundle another member, and a manifest that vouches for it."""

    def give(bundle: Path, name: str, member: bytes) -> None:
        with zipfile.ZipFile(bundle) as archive:
            content = {entry: archive.read(entry) for entry in archive.namelist()}
        manifest = json.loads(content[MANIFEST])
        manifest["members"][name] = {"sha256": files.sha256_of(member), "size_bytes": len(member)}
        bundle.write_bytes(stored_zip({**content, name: member, MANIFEST: json.dumps(manifest).encode()}))

    return give


@pytest.fixture
def tiny_bundle(make_bundle: Callable[..., Path]) -> Path:
    """A bundle whose FP32 and FP16 graphs give the mean of the colours as depth, 0 to 20 m; about 30 kB."""
    return make_bundle()


@pytest.fixture
def tiny_data(tmp_path: Path, tiny_frames: np.ndarray) -> Path:
    """The tiny frames as a data set in the layout of DepthEstimationUnreal; the truth is a little off the colours."""
    root = tmp_path / "data"
    for split in ("train", "val"):
        for kind in ("rgb", "depth"):
            (root / kind / split).mkdir(parents=True)
        for number, frame in enumerate(tiny_frames):
            Image.fromarray(frame).save(root / "rgb" / split / f"{number}.jpeg", quality=95)
            truth_m = frame.mean(axis=-1) * (20 / 255) + 0.3 + 0.1 * number
            np.save(root / "depth" / split / f"{number}.npy", truth_m.astype(np.float32))
    return root


@pytest.fixture
def tiny_checkpoint(tmp_path: Path, tiny_frames: np.ndarray) -> Path:
    """The `fast` network for the tiny frames, with fresh weights, scaled so that some of its depth is beyond 20 m."""
    import torch

    from mde_train.checkpoint import Checkpoint, write_checkpoint
    from mde_train.models import build_model, model_named

    torch.manual_seed(1)
    contract = model_named("fast").contract(*tiny_frames.shape[1:3])
    contract = dataclasses.replace(contract, from_network=dataclasses.replace(contract.from_network, scale=3.0))
    truth_m = np.ones(tiny_frames.shape[:3], np.float32)
    path = tmp_path / "tiny.ckpt"
    write_checkpoint(path, Checkpoint(build_model("fast"), "fast", contract, {}, None, tiny_frames, truth_m))
    return path
