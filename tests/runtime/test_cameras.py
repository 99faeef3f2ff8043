"""Cameras and turned videos. The CSI camera runs over a stand-in of OpenCV, which is the system's on a Jetson."""

import sys
import threading
import types
from typing import ClassVar

import numpy as np
import pytest

from mde_runtime import BadInputError, DepthEstimator, MachineError
from mde_runtime.cli.predict import main
from mde_runtime.contract import Intrinsics
from mde_runtime.predict import predict
from mde_runtime.sources import NamedFrame, Source, open_sources


class Camera:
    """Gives the frames that it was made with, in OpenCV's order of colours."""

    opened: "ClassVar[list[Camera]]"

    def __init__(self, pipeline, kind, frames):
        self.pipeline, self.kind, self.frames, self.is_released = pipeline, kind, list(frames), False
        self.opened.append(self)

    def isOpened(self):  # noqa: N802  OpenCV's name
        return bool(self.frames)

    def get(self, _):
        return 30.0

    def read(self):
        return (True, self.frames.pop(0)[..., ::-1]) if self.frames else (False, None)

    def release(self):
        self.is_released = True


@pytest.fixture
def opencv(monkeypatch):
    """A function that puts a stand-in of OpenCV in place: of these RGB frames, with or without GStreamer."""
    monkeypatch.setattr(Camera, "opened", [], raising=False)

    def install(frames, gstreamer="YES (1.20.3)"):
        stand_in = types.SimpleNamespace(
            __version__="4.8.0",
            CAP_GSTREAMER=1800,
            CAP_PROP_FPS=5,
            getBuildInformation=lambda: f"  Video I/O:\n    GStreamer:                   {gstreamer}\n",
            VideoCapture=lambda pipeline, kind: Camera(pipeline, kind, frames),
        )
        monkeypatch.setitem(sys.modules, "cv2", stand_in)
        return Camera.opened

    return install


def test_a_csi_camera_becomes_depth_for_each_frame(opencv, command, tiny_bundle, tiny_frames, tiny_depth, tmp_path):
    opened = opencv(tiny_frames)
    ended = command(main, tiny_bundle, "csi:1", "-o", tmp_path)
    assert ended.exit_code == 0, ended.stderr
    depth_m = np.stack([np.load(path) for path in sorted((tmp_path / "csi1").glob("*.npy"))])
    np.testing.assert_allclose(depth_m, tiny_depth(tiny_frames), atol=4e-6)  # float32's step at 20 m
    (camera,) = opened
    assert (camera.kind, "sensor-id=1 " in camera.pipeline, camera.is_released) == (1800, True, True)


def test_no_frame_of_a_csi_camera_waits_while_the_network_runs(opencv, tiny_bundle, tiny_frames, tmp_path):
    opened = opencv(tiny_frames)
    with DepthEstimator.open(tiny_bundle) as estimate:
        results = predict(estimate, open_sources(["csi:0"]), tmp_path, ["npy"])
        for num_done, _ in enumerate(results, start=1):
            assert len(opened[0].frames) == len(tiny_frames) - num_done


def test_a_csi_camera_is_released_when_its_depth_is_left_early(opencv, tiny_bundle, tiny_frames, tmp_path):
    opened = opencv(tiny_frames)
    with DepthEstimator.open(tiny_bundle) as estimate:
        results = predict(estimate, open_sources(["csi:0"]), tmp_path, ["npy"])
        next(results)
        results.close()
    assert opened[0].is_released


class UsbCamera:
    """PyAV's container of a camera: a frame, and once that was taken three more at once."""

    def __init__(self, frames):
        self.streams = types.SimpleNamespace(video=[types.SimpleNamespace(frames=0, average_rate=30)])
        self.frames, self.first_was_taken, self.all_were_given = frames, threading.Event(), threading.Event()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def decode(self, _):
        yield self.frames[0]
        self.first_was_taken.wait(10)
        yield from self.frames[1:4]
        self.all_were_given.set()


def test_of_a_usb_camera_the_newest_frame_is_given(tiny_frames, monkeypatch):
    av = pytest.importorskip("av", reason="an extra")
    camera = UsbCamera([av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in tiny_frames])
    monkeypatch.setattr(av, "open", lambda source, format: camera)  # noqa: ARG005  PyAV's names
    (source,) = open_sources(["/dev/video0"])
    frames = source.frames()
    np.testing.assert_array_equal(next(frames).read(), tiny_frames[0])
    camera.first_was_taken.set()
    assert camera.all_were_given.wait(10)
    (newest,) = frames
    assert newest.name == "video0/000001"
    np.testing.assert_array_equal(newest.read(), tiny_frames[3])


def test_a_csi_camera_is_released_when_nobody_wants_more(opencv, tiny_frames):
    opened = opencv(tiny_frames)
    (source,) = open_sources(["csi:0"])
    frames = source.frames()
    assert next(frames).frames_per_s == 30.0
    frames.close()
    assert opened[0].is_released


def test_a_sensor_that_does_not_answer_is_one_line(opencv):
    opencv([])
    (source,) = open_sources(["csi:0"])
    with pytest.raises(MachineError, match="csi:0: no camera responds; check its cable"):
        next(source.frames())


@pytest.mark.parametrize("source", ["csi:", "csi:x", "csi:-1"])
def test_what_is_no_sensor_is_refused(source):
    with pytest.raises(BadInputError, match="is not a sensor number"):
        open_sources([source])


def test_an_opencv_without_gstreamer_is_refused_with_the_remedy(opencv, tiny_frames):
    opencv(tiny_frames, gstreamer="NO")
    with pytest.raises(MachineError, match="built without GStreamer; on Jetson create the environment"):
        open_sources(["csi:0"])


def test_without_opencv_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MachineError, match=r"OpenCV cannot be loaded .*; on Jetson create the environment"):
        open_sources(["csi:0"])


@pytest.mark.parametrize(("angle", "bright_side"), [(0, "left"), (90, "bottom"), (180, "right"), (270, "top")])
def test_a_video_is_turned_as_it_says_that_it_was_held(tmp_path, angle, bright_side):
    """The angle is the file's own, against the clock, as phones write it."""
    av = pytest.importorskip("av", reason="an extra")
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[:, :32] = 255
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p"
        stream.set_display_rotation(angle)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    (source,) = open_sources([str(tmp_path / "film.mp4")])
    (read,) = (frame.read() for frame in source.frames())
    assert read.shape == ((32, 64, 3) if angle % 180 == 0 else (64, 32, 3))
    sides = {"left": read[:, :8], "right": read[:, -8:], "top": read[:8], "bottom": read[-8:]}
    assert max(sides, key=lambda side: sides[side].mean()) == bright_side


def test_an_opencv_that_was_built_for_an_older_numpy_names_the_numpy_to_install(tmp_path, monkeypatch):
    (tmp_path / "cv2.py").write_text("raise ImportError('numpy.core.multiarray failed to import')")
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MachineError, match=r"csi:0: OpenCV cannot be loaded .*pip install 'numpy<2'"):
        open_sources(["csi:0"])


@pytest.mark.parametrize(("kind", "num_looks"), [("npy", 0), ("ply", 1)])
def test_a_picture_is_asked_for_its_camera_only_by_formats_that_use_it(
    tiny_bundle, tiny_frames, tmp_path, kind, num_looks
):
    looks = []

    def camera():
        looks.append(kind)
        return Intrinsics(fx_px=10, fy_px=10, cx_px=4, cy_px=3)

    frame = NamedFrame("a", lambda: tiny_frames[0], "film", camera=camera)
    source = Source("one", (("a", "one"),), 1, lambda: iter([frame]), "film")
    with DepthEstimator.open(tiny_bundle) as estimate:
        (written,) = predict(estimate, [source], tmp_path, [kind])
    assert written.files[0].is_file()
    assert len(looks) == num_looks
