import os
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from mde_runtime import BadInputError
from mde_runtime.sources.pictures import read_picture


def test_postscript_in_the_clothes_of_a_picture_is_never_interpreted(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (8, 8)).save(path, format="EPS")
    with pytest.raises(BadInputError, match=r"photo\.jpg: not a readable picture"):
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
    with pytest.raises(BadInputError, match=r"photo\.tif: not a readable picture"):
        read_picture(path)


def png(bits: int, colour: int, channels: int) -> bytes:
    """A PNG of 4x2 px whose colours are of so many bits, all 1."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = b"\0" + b"\xff" * ((4 * bits * channels + 7) // 8)
    head = struct.pack(">IIBBBBB", 4, 2, bits, colour, 0, 0, 0)
    palette = chunk(b"PLTE", b"\xff" * 3 * (1 << min(bits, 8))) if colour == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + palette
        + chunk(b"IDAT", zlib.compress(row * 2))
        + chunk(b"IEND", b"")
    )


GREY, RGB, PALETTE, GREY_ALPHA, RGBA = (0, 1), (2, 3), (3, 1), (4, 2), (6, 4)


@pytest.mark.parametrize(
    ("bits", "colour"),
    [
        *((bits, GREY) for bits in (1, 2, 4, 8)),
        *((bits, PALETTE) for bits in (1, 2, 4, 8)),
        (8, RGB),
        (8, GREY_ALPHA),
        (8, RGBA),
    ],
)
def test_a_picture_of_8_bits_or_fewer_is_read_in_full(tmp_path, bits, colour):
    (tmp_path / "a.png").write_bytes(png(bits, *colour))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), np.full((2, 4, 3), 255))


def ppm(kind: str, highest: int) -> bytes:
    num_bytes = 8 * (1 if kind == "P5" else 3) * (2 if highest > 255 else 1)
    return f"{kind} 4 2 {highest}\n".encode() + bytes(num_bytes)


def tiff(bits: int, num_colours: int, photometric: int) -> bytes:
    """An uncompressed TIFF of 4x2 px."""
    data = bytes(8 * num_colours * bits // 8)
    bits_at, data_at = 8 + 2 + 9 * 12 + 4, 8 + 2 + 9 * 12 + 4 + 8
    entries = [
        *((256, 1, 4), (257, 1, 2), (258, num_colours, bits_at), (259, 1, 1), (262, 1, photometric)),
        *((273, 1, data_at), (277, 1, num_colours), (278, 1, 2), (279, 1, len(data))),
    ]
    packed = b"".join(struct.pack("<HHII", tag, 4 if tag != 258 else 3, count, value) for tag, count, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, 9) + packed + bytes(4) + struct.pack("<4H", *[bits] * 4) + data


DEEP = {
    "grey.png": png(16, *GREY),
    "rgb.png": png(16, *RGB),
    "grey-alpha.png": png(16, *GREY_ALPHA),
    "rgba.png": png(16, *RGBA),
    "grey.ppm": ppm("P5", 65535),
    "rgb.ppm": ppm("P6", 65535),
    "1000.ppm": ppm("P6", 1000),
    "text.ppm": b"P3 2 1 65535\n65535 0 256 300 40000 7\n",
    "rgb.tif": tiff(16, 3, 2),
    "cmyk.tif": tiff(16, 4, 5),
}


@pytest.mark.parametrize("name", DEEP)
def test_a_picture_of_more_than_8_bits_a_colour_is_refused_and_not_cut(tmp_path, name):
    (tmp_path / name).write_bytes(DEEP[name])
    with pytest.raises(BadInputError, match="with more than 8 bits per channel; convert it first"):
        read_picture(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"), [("a.tif", tiff(8, 3, 2)), ("a.ppm", ppm("P6", 255)), ("b.ppm", ppm("P6", 100))]
)
def test_the_same_with_8_bits_is_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(read_picture(tmp_path / name), np.zeros((2, 4, 3)))


def test_a_fifo_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(BadInputError, match=r"a\.png: is a FIFO, which is not read"):
        read_picture(tmp_path / "a.png")
