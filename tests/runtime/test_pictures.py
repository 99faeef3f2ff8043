import pytest
from PIL import Image

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
