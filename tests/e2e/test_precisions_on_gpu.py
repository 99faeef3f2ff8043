"""A real network in every precision on the GPU against PyTorch in FP32 on the CPU. Not run by this project yet.

The same holds on a CPU, whose row is here so that the test itself is tested.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from lab.gpu_check.commands import Invocation
from lab.gpu_check.speed.networks import write_random_checkpoint
from mde_runtime import MachineError
from mde_runtime.backends import BACKENDS, open_session
from mde_runtime.bundle import Bundle, read_bundle
from mde_runtime.verify import verify

pytestmark = pytest.mark.timeout(300)  # seconds: the export, and an engine for each precision
ENGINES = ("tensorrt", "tensorrt-rtx")
BACKEND_NAMES = [
    pytest.param("onnxruntime-cpu", marks=pytest.mark.slow),
    *(pytest.param(name, marks=pytest.mark.gpu) for name, row in BACKENDS.items() if row.device == "cuda"),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fast` with random weights, 32x64 px, in all three precisions."""
    folder = tmp_path_factory.mktemp("exported")
    write_random_checkpoint("fast", (32, 64), folder / "fast.ckpt", far_m=100.0)
    Invocation(
        *("mde-export", folder / "fast.ckpt", "--fp16", "--int8", "--engine", "none", "-o", folder / "fast.mde")
    ).run()
    return folder / "fast.mde"


@pytest.fixture
def bundle(exported: Path) -> Bundle:
    return read_bundle(exported)


def opened(bundle: Bundle, backend: str, precision: str):
    if backend in ENGINES:
        Invocation("mde-bundle", "engine", bundle.path, "--flavour", backend, "--precision", precision).run((0, 1, 4))
    try:
        return open_session(backend, bundle.graph(precision))
    except MachineError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_every_precision_gives_the_golden_frames_depth(bundle, backend, precision):
    assert os.environ["MDE_CACHE"]  # the test's own, which the command that builds an engine shares
    session = opened(bundle, backend, precision)
    assert verify(bundle, backend, precision, session).breaches == ()
    session.close()


@pytest.mark.parametrize("backend", [name for name in BACKEND_NAMES if "cpu" not in name.values[0]])
def test_the_error_of_real_half_is_about_what_the_certificates_emulation_said(bundle, backend):
    """Fused layers round less often than the emulation, which rounds after every operator; none rounds more."""
    session = opened(bundle, backend, "fp16")
    golden = bundle.golden()
    depth_m = np.concatenate(
        [session.run({"frame": golden.frames[index : index + 1]})["depth_m"] for index in range(len(golden.frames))]
    )
    session.close()
    real_m = float(np.sqrt(np.mean((depth_m - golden.depth_m) ** 2)))
    emulated_m = bundle.certificate("fp16").parity.rmse_m
    assert 0.2 * emulated_m < real_m < 1.5 * emulated_m  # 8 of the certificate's 64 frames: their mean differs a little
