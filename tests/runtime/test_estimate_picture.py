"""Pictures of any size through the estimator, as `mde-predict` takes them; and what a notebook shows of its objects."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import mde_runtime
from mde_runtime import DepthEstimator
from mde_runtime.bundle import read_bundle
from mde_runtime.cli.predict import main as mde_predict
from mde_runtime.errors import BadInputError


@pytest.fixture
def estimate(tiny_bundle):
    with DepthEstimator.open(tiny_bundle, "onnxruntime-cpu") as opened:
        yield opened


@pytest.fixture
def photo():
    """An RGB picture of another size and aspect than the bundle's."""
    return np.random.default_rng(2).integers(0, 255, (50, 90, 3), np.uint8)


def test_a_picture_gives_the_depth_that_the_command_writes(estimate, photo, tiny_bundle, tmp_path):
    Image.fromarray(photo).save(tmp_path / "photo.png")
    arguments = [str(tiny_bundle), str(tmp_path / "photo.png"), "-o", str(tmp_path), "--backend", "onnxruntime-cpu"]
    assert CliRunner().invoke(mde_predict, arguments).exit_code == 0
    written = np.load(tmp_path / "photo.npy")
    assert written.shape == (50, 90)
    for picture in (tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.fromarray(photo), photo):
        assert np.array_equal(estimate.picture(picture), written)


def test_a_grey_picture_is_three_equal_colours(estimate, photo):
    grey = photo[..., 0]
    thrice = np.repeat(grey[..., None], 3, axis=2)
    assert np.array_equal(estimate.picture(grey), estimate.picture(thrice))
    assert np.array_equal(estimate.picture(Image.fromarray(grey)), estimate.picture(thrice))


def test_a_picture_that_lies_on_its_side_is_turned_upright(estimate, photo):
    image = Image.fromarray(photo)
    image.getexif()[0x0112] = 6
    assert estimate.picture(image).shape == (90, 50)


@pytest.mark.parametrize(
    "picture", [7, None, np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3), np.float32), np.zeros((0, 5, 3), np.uint8)]
)
def test_what_is_no_picture_is_named_with_what_is(estimate, picture):
    with pytest.raises(BadInputError, match="pass a path, a PIL image, or RGB as uint8"):
        estimate.picture(picture)


def test_a_picture_of_16_bits_is_refused_as_its_file_is(estimate):
    with pytest.raises(BadInputError, match="more than 8 bits per channel; convert it first"):
        estimate.picture(Image.fromarray(np.zeros((4, 5), np.uint16)))


def test_both_spellings_of_grey_are_one(estimate):
    grey = np.random.default_rng(1).integers(0, 255, (24, 32), np.uint8)
    assert np.array_equal(estimate(grey, color="gray"), estimate(grey, color="grey"))


def test_an_estimator_shows_its_size_and_what_runs(estimate):
    assert repr(estimate).startswith("<DepthEstimator 24x32 px rgb: onnxruntime-cpu, fp32")
    estimate.close()
    assert repr(estimate) == "<DepthEstimator 24x32 px rgb: closed>"


def test_a_bundle_is_read_by_its_name_as_text(tiny_bundle):
    bundle = read_bundle(str(tiny_bundle))
    assert bundle.path == tiny_bundle
    assert repr(bundle) == f"<Bundle tiny.mde: {bundle.manifest.provenance.model}, 24x32 px, 0 to 20 m, fp32, fp16>"


def test_the_package_lists_its_estimator():
    assert "DepthEstimator" in dir(mde_runtime)
