import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from mde_runtime import BadInputError
from mde_runtime.sources.pictures import read_picture


def test_postscript_in_the_clothes_of_a_picture_is_never_interpreted(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (8, 8)).save(path, format="EPS")
    with pytest.raises(BadInputError, match=r"photo\.jpg: not a picture that can be read"):
        read_picture(path)


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.bmp", "photo.webp", "photo.tif", "photo.ppm"])
def test_every_format_that_is_named_is_read(tmp_path, name):
    Image.new("RGB", (8, 6)).save(tmp_path / name)
    assert read_picture(tmp_path / name).shape == (6, 8, 3)


def exif_of(orientation, odd_tag):
    """EXIF of a camera that writes a tag in a type that the tag cannot have."""
    entries = struct.pack("<HHII", 0x0112, 3, 1, orientation) + odd_tag
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize(
    "odd_tag",
    [struct.pack("<HHIf", 0x0128, 11, 1, 2.5), struct.pack("<HHI4s", 0x0128, 2, 4, b"abc\0")],
    ids=["float", "text"],
)
def test_a_picture_whose_exif_has_a_tag_of_odd_type_is_turned_all_the_same(tmp_path, suffix, odd_tag):
    path = tmp_path / f"photo{suffix}"
    Image.new("RGB", (8, 6)).save(path, exif=exif_of(6, odd_tag))
    assert read_picture(path).shape == (8, 6, 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_pillow_turns_it(tmp_path, suffix, orientation):
    path = tmp_path / f"photo{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.effect_noise((8, 6), 50).save(path, exif=exif)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(read_picture(path), upright)


def test_a_tiff_whose_tags_have_odd_types_is_named_in_one_line(tmp_path):
    path = tmp_path / "photo.tif"
    Image.new("RGB", (8, 6)).save(path)
    where_long, where_float = (struct.pack("<HH", 273, kind) for kind in (4, 11))  # where its pixels lie
    assert where_long in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(where_long, where_float))
    with pytest.raises(BadInputError, match=r"photo\.tif: not a picture that can be read"):
        read_picture(path)
