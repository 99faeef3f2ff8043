"""The ONNX stages are the PyTorch stages: for any contract, in every runtime of this machine."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mde_export.graph.canonical import to_bytes
from mde_export.graph.graft import graft
from mde_runtime.backends import open_session
from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork
from mde_runtime.engines.build import build_engine
from mde_runtime.errors import BadInputError
from mde_train.depth_model import DepthModel


def run_on_onnxruntime(graph: bytes, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    session = open_session("onnxruntime-cpu", graph, num_threads=1)
    answer = session.run({"frame": frames})
    return answer["depth_m"], answer["num_nonfinite"]


def run_on_openvino(graph: bytes, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    model = core.compile_model(core.read_model(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = model({"frame": frames})
    return answer["depth_m"], answer["num_nonfinite"]


POLICIES = {  # of a 12x20 frame
    "stretch": {},
    "area": {"to_network__interpolation": "area", "to_network__antialias": True},
    "stretch with antialias": {"to_network__antialias": True, "from_network__antialias": True},
    "bicubic": {"to_network__interpolation": "bicubic", "from_network__interpolation": "bicubic"},
    "letterbox": {"resize": "letterbox", "height_px": 16, "width_px": 16, "covers": (0, 0, 16, 16)},
    "pad": {"resize": "pad", "multiple_of_px": 16, "height_px": 16, "width_px": 32, "covers": (0, 0, 16, 32)},
    "crop": {"resize": "crop", "height_px": 8, "width_px": 8, "covers": (0, 0, 8, 8)},
    "inverse depth": {"kind": "inverse_depth", "from_network__scale": 0.5, "shift": 0.1, "mean": (0.5, 0.5, 0.5)},
    "log depth": {"kind": "log_depth", "from_network__scale": 2.0, "shift": 0.4},
    "align_corners": {"align_corners": True, "from_network__align_corners": True},
    "bicubic with align_corners": {
        "to_network__interpolation": "bicubic",
        "from_network__interpolation": "bicubic",
        "align_corners": True,
        "from_network__align_corners": True,
    },
    "rounded to levels": {"antialias": True, "rounding": "uint8"},
    "reflected": {"pad_px": (3, 4, 3, 4), "padding": "reflect"},
    "edges go on": {"pad_px": (3, 4, 3, 4), "padding": "edge"},
    "padded by zero": {"pad_px": (3, 4, 3, 4), "padding": "zero", "mean": (0.5, 0.4, 0.3)},
    "padded by a level": {"pad_px": (3, 4, 3, 4), "padding": 114.0},
    "filled by a level": {
        "resize": "letterbox",
        "height_px": 16,
        "width_px": 16,
        "covers": (0, 0, 16, 16),
        "fill": 114.0,
    },
    "inverted after the resize": {"kind": "inverse_depth", "inversion": "after_resize"},
    "at once": {"via_input": False},
    "a map smaller than the frame": {"covers": (1, 1, 7, 15)},
}
RUNTIMES = {"onnxruntime": run_on_onnxruntime, "openvino": run_on_openvino}


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    interpolations = st.sampled_from(["bilinear", "bicubic"])
    sampling = st.sampled_from(
        [(False, False, "none"), (True, False, "none"), (False, True, "none"), (True, False, "uint8")]
    )
    antialias, align_corners, rounding = draw(sampling)
    may_average = antialias and rounding == "none"
    padding_px = st.sampled_from([(0, 0, 0, 0), (3, 2, 4, 8)])
    pad_px = top, left, bottom, right = draw(padding_px)
    multiple = draw(st.sampled_from([1, 4, 14]))
    source = SourceFrame(
        height_px=draw(st.integers(9, 60)),
        width_px=draw(st.integers(9, 60)),
        colour=draw(st.sampled_from(["rgb", "bgr"])),
        dtype="uint8",
        layout="NHWC",
    )
    policy = draw(st.sampled_from(["stretch", "letterbox", "pad", "crop"]))
    if policy == "pad":
        padded = (source.height_px + top + bottom, source.width_px + left + right)
        height, width = (side + -side % multiple for side in padded)
    else:
        height, width = (multiple * draw(st.integers(-(-8 // multiple), 48 // multiple)) for _ in "hw")
    to_network = ToNetwork(
        height_px=height,
        width_px=width,
        multiple_of_px=multiple,
        resize=policy,
        interpolation="area" if may_average and draw(st.booleans()) else draw(interpolations),
        antialias=antialias,
        align_corners=align_corners,
        rounding=rounding,
        pad_px=pad_px,
        padding=draw(st.sampled_from(["reflect", "edge", "zero", 114.0])),
        fill=draw(st.sampled_from(["zero", 114.0])),
        scale=1 / 255,
        mean=draw(st.sampled_from([(0.0, 0.0, 0.0), (0.485, 0.456, 0.406)])),
        std=draw(st.sampled_from([(1.0, 1.0, 1.0), (0.229, 0.224, 0.225)])),
    )
    back_antialias, back_align_corners, _ = draw(sampling)
    jut = draw(st.integers(0, 2))  # the map may leave out a border
    from_network = FromNetwork(
        kind=draw(st.sampled_from(["metric_depth", "inverse_depth", "log_depth"])),
        unit="m",
        near_m=0.5,
        far_m=20.0,
        distance="z",
        covers=(jut, 0, height, width - jut),
        interpolation=draw(interpolations),
        antialias=back_antialias,
        align_corners=back_align_corners,
        via_input=jut > 0 or policy != "stretch" or draw(st.booleans()),
        inversion=draw(st.sampled_from(["before_resize", "after_resize"])),
        scale=draw(st.sampled_from([1.0, 0.7])),
        shift=draw(st.sampled_from([0.0, 0.25])),
        canonical_focal_px=None,
    )
    return Contract(source=source, to_network=to_network, from_network=from_network, intrinsics=None)


@pytest.mark.parametrize("runtime", RUNTIMES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(contract=contracts(), seed=st.integers(0, 99), stride=st.sampled_from([1, 2]))
def test_the_graph_gives_the_depth_of_the_pytorch_stages(one_convolution, runtime, contract, seed, stride):
    noise = np.random.default_rng(seed)
    frames = noise.integers(0, 256, (1, contract.source.height_px, contract.source.width_px, 3), np.uint8)
    weight = noise.normal(0, 0.3, (1, 3, stride, stride)).astype(np.float32)
    height, width = contract.to_network.height_px, contract.to_network.width_px
    if height % stride or width % stride:
        stride, weight = 1, weight[:, :, :1, :1]
    network, network_graph = one_convolution(weight, 0.5, stride, height, width)
    graph = to_bytes(graft(network_graph, contract))
    with torch.no_grad():
        expected, num_expected = DepthModel(network, contract)(torch.from_numpy(frames))
    depth_m, num_nonfinite = RUNTIMES[runtime](graph, frames)
    assert depth_m.dtype == np.float32
    assert num_nonfinite.dtype == np.int32
    assert num_nonfinite.tolist() == num_expected.tolist() == [0]
    # float32 rounding of two bicubic resizes: 0.1 mm; times 400 m for 1/q at 20 m (dz = z² dq), and in exp(q) it is
    # that of q times 20 m (dz = z dq)
    tolerance_m = {"metric_depth": 1e-4, "inverse_depth": 3e-3, "log_depth": 3e-4}[contract.from_network.kind]
    np.testing.assert_allclose(depth_m, expected.numpy(), atol=tolerance_m)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("bias", "num_bad"), [(np.nan, 128), (np.inf, 128), (-np.inf, 128), (3e38, 0)])
def test_values_that_are_no_number_are_counted_before_the_clip_hides_them(
    one_convolution, contract, runtime, bias, num_bad
):
    _, network = one_convolution(np.zeros((1, 3, 1, 1), np.float32), bias, 1, 8, 16)
    graph = to_bytes(graft(network, contract()))
    _, num_nonfinite = RUNTIMES[runtime](graph, np.zeros((1, 12, 20, 3), np.uint8))
    assert num_nonfinite.tolist() == [num_bad]


def test_the_first_operator_is_a_cast_because_tensorrt_takes_uint8_nowhere_else(one_convolution, contract):
    _, network = one_convolution(np.ones((1, 3, 1, 1), np.float32), 0.0, 1, 8, 16)
    first = onnx.ModelProto.FromString(to_bytes(graft(network, contract(colour="bgr")))).graph.node[0]
    assert (first.op_type, first.input[0]) == ("Cast", "frame")


@pytest.mark.parametrize("changes", POLICIES.values(), ids=POLICIES.keys())
def test_tensorrt_rtx_takes_the_stages_of_every_policy(one_convolution, contract, changes):
    pytest.importorskip("tensorrt_rtx")
    expected = contract(**changes)
    size = (expected.to_network.height_px, expected.to_network.width_px)
    _, network = one_convolution(np.ones((1, 3, 1, 1), np.float32), 0.0, 1, *size)
    assert build_engine(to_bytes(graft(network, expected)), "tensorrt-rtx")


def test_a_frame_that_was_only_padded_is_cut_out_again_and_not_resized(one_convolution, contract):
    _, network = one_convolution(np.ones((1, 3, 1, 1), np.float32), 0.0, 1, 16, 32)
    graph = graft(network, contract(**POLICIES["pad"])).graph
    assert "Resize" not in {node.op_type for node in graph}


def test_pixels_that_a_crop_left_out_have_no_depth(one_convolution, contract):
    _, network = one_convolution(np.zeros((1, 3, 1, 1), np.float32), 5.0, 1, 8, 8)
    graph = to_bytes(graft(network, contract(**POLICIES["crop"])))
    depth_m, _ = run_on_onnxruntime(graph, np.zeros((1, 12, 20, 3), np.uint8))
    # the frame becomes 8x13, of which columns 2 to 9 are seen: of the frame's own columns, 3 (at 2.3) to 14 (at 9.4)
    assert np.unique(depth_m[0, :, [0, 1, 2, 15, 19]]).tolist() == [0.0]
    np.testing.assert_allclose(depth_m[0, :, 3:15], 5.0, rtol=1e-6)  # float32 rounding of the resize


def test_depth_outside_the_contracts_range_is_clipped_to_its_ends(one_convolution, contract):
    for bias, end in ((-3.0, 0.5), (900.0, 20.0)):
        _, network = one_convolution(np.zeros((1, 3, 1, 1), np.float32), bias, 1, 8, 16)
        graph = to_bytes(graft(network, contract(near_m=0.5)))
        depth_m, _ = run_on_onnxruntime(graph, np.zeros((1, 12, 20, 3), np.uint8))
        assert np.unique(depth_m).tolist() == [end]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_log_depth_beyond_every_exponent_is_far_and_spreads_nothing(one_convolution, contract, runtime):
    weight = np.zeros((1, 3, 1, 1), np.float32)
    weight[0, 0] = 200.0  # exp(200) is beyond float32, exp(0) is 1 m
    _, network = one_convolution(weight, 0.0, 1, 8, 16)
    frame = np.zeros((1, 12, 20, 3), np.uint8)
    frame[:, :, 10:] = 255
    depth_m, num_nonfinite = RUNTIMES[runtime](to_bytes(graft(network, contract(kind="log_depth"))), frame)
    assert num_nonfinite.tolist() == [0]
    np.testing.assert_allclose(depth_m[0, :, :8], 1.0, rtol=1e-6)  # float32 rounding of the resize
    np.testing.assert_allclose(depth_m[0, :, 12:], 20.0, rtol=1e-6)


def test_relative_depth_is_refused_until_scale_and_shift_were_fitted(one_convolution, contract):
    _, network = one_convolution(np.ones((1, 3, 1, 1), np.float32), 0.0, 1, 8, 16)
    with pytest.raises(BadInputError, match="--measured"):
        graft(network, contract(kind="relative_inverse_depth"))
    graft(network, contract(kind="relative_inverse_depth", from_network__scale=0.2))


def test_a_network_of_another_input_size_is_refused_with_both_sizes(one_convolution, contract):
    _, network = one_convolution(np.ones((1, 3, 1, 1), np.float32), 0.0, 1, 8, 8)
    with pytest.raises(BadInputError, match=r"takes \(1, 3, 8, 8\), the contract says \(N, 3, 8, 16\)"):
        graft(network, contract())


def test_grafting_leaves_the_given_network_as_it_was(one_convolution, contract):
    _, network = one_convolution(np.ones((1, 3, 1, 1), np.float32), 0.0, 1, 8, 16)
    before = to_bytes(network)
    graft(network, contract())
    assert to_bytes(network) == before
