"""Depth that came from anywhere is judged as a backend's is, and what is no depth is named."""

import json

import numpy as np
import pytest
from PIL import Image

from mde_runtime.bundle import read_bundle
from mde_runtime.cli.bundle import main
from mde_runtime.depth_files import depth_of_frame
from mde_runtime.errors import BadInputError


@pytest.fixture
def given(tiny_bundle, tiny_depth, tmp_path):
    """A function that writes the golden frames' depth, off by so many metres, as .npy or as 16-bit PNG."""

    def give(off_m=0.0, as_png=False):
        folder = tmp_path / "depth"
        folder.mkdir()
        for index, frame in enumerate(read_bundle(tiny_bundle).golden().frames):
            depth_m = tiny_depth(frame) + np.float32(off_m)
            if as_png:
                millimetres = Image.fromarray(np.round(depth_m * 1000).astype(np.uint16))
                millimetres.save(folder / f"golden-{index}.png")
            else:
                np.save(folder / f"golden-{index}.npy", depth_m)
        return folder

    return give


def test_the_golden_frames_are_written_as_pictures(command, tiny_bundle, tiny_frames, tmp_path):
    ended = command(main, "golden", tiny_bundle, "-o", tmp_path / "frames")
    assert ended.exit_code == 0
    assert len(ended.stdout.splitlines()) == 8
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "frames" / "golden-3.png")), tiny_frames[3])


@pytest.mark.parametrize("as_png", [False, True])
def test_depth_within_the_limits_passes(command, tiny_bundle, given, as_png):
    ended = command(main, "verify", tiny_bundle, "--depth", given(as_png=as_png))
    assert ended.exit_code == 0
    assert "passed" in ended.stdout


@pytest.mark.parametrize("as_png", [False, True])
def test_depth_that_is_off_fails_with_exit_code_1(command, tiny_bundle, given, as_png):
    ended = command(main, "verify", tiny_bundle, "--depth", given(off_m=0.02, as_png=as_png))  # 2 cm of 1 cm
    assert ended.exit_code == 1
    assert "FAILED" in ended.stdout


def test_int8_is_judged_by_its_own_limits(command, tiny_bundle, given):
    ended = command(main, "verify", tiny_bundle, "--depth", given(off_m=0.02), "--precision", "int8", "--json")
    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["parity"]["rmse_worst_m"] == pytest.approx(0.02, abs=2e-3)  # some clips at 20 m


def test_a_pixel_that_is_no_number_fails(command, tiny_bundle, given):
    folder = given()
    depth_m = np.load(folder / "golden-0.npy")
    depth_m[0, 0] = np.nan
    np.save(folder / "golden-0.npy", depth_m)
    assert command(main, "verify", tiny_bundle, "--depth", folder).exit_code == 1


def test_depth_of_another_size_is_refused(command, tiny_bundle, given):
    folder = given()
    np.save(folder / "golden-1.npy", np.ones((12, 16), np.float32))
    ended = command(main, "verify", tiny_bundle, "--depth", folder)
    assert ended.exit_code == 3
    assert "golden-1 is 12x16 px, the frame 24x32 px" in ended.stderr


@pytest.mark.parametrize("shape", [(3, 4), (1, 3, 4), (1, 1, 3, 4), (3, 4, 1)])
def test_axes_of_length_one_around_a_map_are_dropped(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.arange(12.0).reshape(shape))
    np.testing.assert_array_equal(depth_of_frame(tmp_path, "a"), np.arange(12.0).reshape(3, 4))


def whole_numbers(folder):
    np.save(folder / "a.npy", np.ones((3, 4), np.int32))


def pickled(folder):
    np.save(folder / "a.npy", np.array([{}]), allow_pickle=True)


def eight_bits(folder):
    Image.fromarray(np.ones((3, 4), np.uint8)).save(folder / "a.png")


def two(folder):
    np.save(folder / "a.npy", np.ones((3, 4)))
    Image.fromarray(np.ones((3, 4), np.uint16)).save(folder / "a.png")


def two_maps(folder):
    np.save(folder / "a.npy", np.ones((2, 3, 4)))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda _: None, "no depth for the frame a; give one a.npy"),
        (whole_numbers, "holds int32, but metres must be floating-point"),
        (pickled, "not a .npy file of numbers"),
        (eight_bits, "a PNG of mode L, but depth in millimetres is a 16-bit"),
        (two, "both a.npy and a.png"),
        (two_maps, r"is \(2, 3, 4\), not a map"),
    ],
)
def test_what_is_no_depth_is_named(tmp_path, make, complaint):
    make(tmp_path)
    with pytest.raises(BadInputError, match=complaint):
        depth_of_frame(tmp_path, "a")
