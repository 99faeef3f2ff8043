"""Frames to judge with: their size against the contract's."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

from mde_export.cli import main
from mde_export.frames import pictures_from
from mde_runtime import records
from mde_runtime.errors import BadInputError


@pytest.fixture
def pictures(tmp_path):
    """Make a folder of pictures of these heights and widths, in turn."""

    def make(*sizes: tuple[int, int]) -> Path:
        folder = tmp_path / "pictures"
        folder.mkdir()
        for index in range(6):
            size = sizes[index % len(sizes)]
            Image.fromarray(np.full((*size, 3), 40 * index, np.uint8)).save(folder / f"{index}.png")
        return folder

    return make


@pytest.fixture
def data_set(tmp_path):
    """Make a data set of frames of this height and width."""

    def make(*size: int) -> Path:
        folder = tmp_path / "data"
        for split in ("train", "val"):
            for kind in ("rgb", "depth"):
                (folder / kind / split).mkdir(parents=True)
            for index in range(4):
                Image.fromarray(np.full((*size, 3), 60 * index, np.uint8)).save(folder / f"rgb/{split}/{index}.jpeg")
                np.save(folder / f"depth/{split}/{index}.npy", np.full(size, 1 + index, np.float32))
        return folder

    return make


@pytest.fixture
def for_camera(contract):
    """The contract of a camera of this height and width."""

    def make(height_px: int, width_px: int):
        return contract(source__height_px=height_px, source__width_px=width_px)

    return make


@pytest.mark.parametrize("size", [(20, 12), (40, 24), (21, 13), (36, 27)], ids=str)
def test_a_size_that_is_that_of_every_picture_swapped_is_refused_with_the_right_one(size, pictures, for_camera):
    with pytest.raises(BadInputError) as caught:
        pictures_from(pictures(size), for_camera(12, 20))
    said = str(caught.value)
    assert f"its pictures are {size[0]}x{size[1]} px, height x width, and the contract's frames are 12x20 px" in said
    assert "write 20x12 as --source-size" in said
    assert "\n" not in said


@pytest.mark.parametrize("sizes", [[(40, 24)], [(20, 12), (40, 24)]], ids=str)
def test_it_is_the_shape_that_tells_a_swapped_size_and_not_the_number_of_pixels(sizes, pictures, for_camera):
    with pytest.raises(BadInputError, match="as if swapped; write 20x12"):
        pictures_from(pictures(*sizes), for_camera(12, 20))


@pytest.mark.parametrize(
    "sizes",
    [[(12, 20)], [(24, 40)], [(30, 40)], [(20, 12), (12, 20)], [(16, 16)], [(20, 12), (16, 16)]],
    ids=["the same", "larger", "another shape", "portrait and landscape", "square", "portrait and square"],
)
def test_pictures_of_another_size_are_taken(sizes, pictures, for_camera):
    assert pictures_from(pictures(*sizes), for_camera(12, 20)).frames.shape == (6, 12, 20, 3)


@pytest.mark.parametrize("source", [(16, 16), (17, 16)], ids=["square", "nearly square"])
def test_a_camera_that_is_as_high_as_wide_takes_pictures_of_any_shape(source, pictures, for_camera):
    assert pictures_from(pictures((12, 20)), for_camera(*source)).frames.shape == (6, *source, 3)


def test_frames_of_a_data_set_are_held_to_the_same(data_set, for_camera):
    frames = data_set(12, 20)
    assert pictures_from(frames, for_camera(12, 20)).truth_m is not None
    with pytest.raises(BadInputError, match="12x20 px, height x width, and the contract's frames are 20x12 px"):
        pictures_from(frames, for_camera(20, 12))


@pytest.fixture
def network(tmp_path):
    """An ONNX file of a network of 8x16 px."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        net (float[1,3,8,16] image) => (float[1,1,8,16] depth)
        <float[1,3,1,1] w = {1, 1, 1}> { depth = Conv (image, w) }""")
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


FLAGS = ("--colour", "rgb", "--resize", "stretch", "--interpolation", "bilinear", "--no-antialias", "--mean", "0,0,0",
    "--std", "1,1,1", "--kind", "metric_depth", "--range", "0:20", "--distance", "z")  # fmt: skip


@pytest.mark.parametrize("by", ["--source-size", "--contract"])
def test_a_swapped_size_is_bad_input_whoever_says_it(by, network, pictures, for_camera, tmp_path):
    (tmp_path / "contract.json").write_text(records.dumps(for_camera(20, 12)))
    said = (by, tmp_path / "contract.json") if by == "--contract" else (by, "20x12", *FLAGS)
    arguments = [network, "--frames", pictures((12, 20)), *said, "--dry-run"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="mde-export")
    assert (result.exit_code, "write 12x20" in result.stderr) == (3, True), result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--mean", "123.675,116.28,103.53", "did you mean 0.485,0.456,0.406?"),
        ("--std", "58.395,57.12,57.375", "did you mean 0.229,0.224,0.225?"),
    ],
)
def test_means_in_colour_levels_are_bad_input(flag, value, words, network, pictures):
    flags = [*FLAGS, "--source-size", "12x20", flag, value]
    arguments = [network, "--frames", pictures((12, 20)), *flags, "--dry-run"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="mde-export")
    assert (result.exit_code, words in result.stderr) == (3, True), result.stderr
