"""The size of a camera's frames where nobody says it, and frames where nobody gives any."""

import contextlib

import numpy as np
import pytest
from PIL import Image

from mde_export.frames import rendered_frames
from mde_export.graph.canonical import to_bytes
from mde_export.request.described import Described
from mde_export.request.request import Request
from mde_export.request.source_size import source_size_of
from mde_export.sources import open_source
from mde_runtime.errors import BadInputError
from mde_train.data.synth.frames import make_frame
from mde_train.data.synth.scene import Lens


@contextlib.contextmanager
def silent(_name, _total=None):
    yield lambda: None


def pictures(folder, *sizes):
    folder.mkdir()
    for number, (height, width) in enumerate(sizes):
        Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


def test_it_is_the_commonest_size_of_the_frames_and_other_aspects_are_counted(tmp_path):
    folder = pictures(tmp_path / "mine", (12, 16), (24, 32), (12, 16), (16, 12), (10, 16))
    size, said = source_size_of(None, folder)
    assert size == (12, 16)
    assert said == "frames are 12x16 px, the most common size in mine; 2 of 5 have another aspect"


def test_each_export_of_a_process_looks_at_the_folder_anew(one_convolution, tmp_path):
    _, network = one_convolution(np.full((1, 3, 1, 1), 5.0, np.float32), 0.0, 1, 12, 16)
    (tmp_path / "net.onnx").write_bytes(to_bytes(network))
    told = Described(resize="stretch", mean="none", kind="metric_depth", range_m=(0.0, 20.0))
    request = Request(str(tmp_path / "net.onnx"), frames=pictures(tmp_path / "mine", (24, 32)), described=told)
    assert open_source(request).contract.source.height_px == 24
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "mine" / "0.png")
    assert open_source(request).contract.source.height_px == 48


def test_without_frames_it_is_vga_and_that_is_said():
    size, said = source_size_of(None, None)
    assert size == (480, 640)
    assert "480x640" in said
    assert "--source-size" in said


def test_a_size_that_was_asked_for_is_taken_without_a_word(tmp_path):
    assert source_size_of((24, 32), tmp_path / "never read") == ((24, 32), "")


def test_a_folder_without_pictures_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="empty"):
        source_size_of(None, tmp_path / "empty")


def test_frames_are_rendered_at_the_contracts_size_and_in_its_colours(contract):
    wanted = contract()
    frames = rendered_frames(wanted, silent)[:]
    assert frames.shape == (64, 12, 20, 3)
    assert frames.std(axis=(1, 2)).min() > 1  # levels: something is to be seen in every frame
    bgr = rendered_frames(contract(colour="bgr"), silent)[:]
    np.testing.assert_array_equal(frames[..., ::-1], bgr)


def test_a_scene_has_the_same_depth_in_the_middle_whatever_its_pixels():
    small, large = (make_frame(3, 5, Lens(height, width, width / 2)) for height, width in ((48, 64), (96, 128)))
    assert large.frame.shape == (96, 128, 3)
    # four rays of the large one lie around one of the small: their mean is near it where no edge lies between
    around = large.depth_m.reshape(48, 2, 64, 2).mean(axis=(1, 3))
    assert np.median(np.abs(around - small.depth_m) / small.depth_m) < 0.01
