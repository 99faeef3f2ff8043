"""Frames and depth maps as files: what is read, and what is refused by name in one line."""

import contextlib
import os
import struct
import zlib

import numpy as np
import pytest

from mde_runtime.errors import BadInputError
from mde_train.data.images import read_depth_npy, read_frame, read_levels


def grey_png(bits: int, row: bytes) -> bytes:
    """A grey PNG of 2x1 px."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, bits, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("bits", "row"), [(8, b"\x01\xff"), (16, b"\x00\x01\x00\xff")])
def test_the_levels_of_a_grey_picture_are_those_that_are_stored(tmp_path, bits, row):
    (tmp_path / "d.png").write_bytes(grey_png(bits, row))
    levels = read_levels(tmp_path / "d.png")
    assert (levels.values.tolist(), levels.num_bits) == ([[1, 255]], bits)


@pytest.mark.parametrize(("bits", "row"), [(1, b"\x40"), (2, b"\x10"), (4, b"\x01")])
def test_a_grey_picture_of_fewer_bits_is_refused_and_not_stretched(tmp_path, bits, row):
    (tmp_path / "d.png").write_bytes(grey_png(bits, row))
    with pytest.raises(BadInputError, match=r"d\.png: a .*; depth (is a grey PNG of|has) 8 or 16"):
        read_levels(tmp_path / "d.png")


@pytest.mark.parametrize("read", [read_frame, read_levels, read_depth_npy])
def test_a_fifo_is_refused_and_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(BadInputError, match=r"a\.png: is a FIFO, which is not read"):
        read(tmp_path / "a.png")


HEADERS = {
    "a key of bytes": b"{'descr': '<f4', 'fortran_order': False, b'shape': (1, 2)}",
    "a key that cannot be hashed": b"{{}: 1}",
    "a truth value for a side": b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2)}",
    "a type of no fields": b"{'descr': (), 'fortran_order': False, 'shape': (1, 2)}",
    "no Python": b"{'descr': '<f4'\n\n, 'shape'",
    "nothing": b" " * 60,
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_damaged_header_is_one_line_that_names_the_file(tmp_path, what):
    header = HEADERS[what] + b"\n"
    body = np.ones(2, "<f4").tobytes()
    (tmp_path / "d.npy").write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + body)
    with pytest.raises(BadInputError, match=r"d\.npy: not a readable \.npy file") as problem:
        read_depth_npy(tmp_path / "d.npy")
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("reads", [read_levels, read_frame])
@pytest.mark.parametrize("kind", [b"IHDR", b"pHYs", b"gAMA", b"tRNS", b"iCCP", b"acTL", b"eXIf"])
@pytest.mark.parametrize("content", [b"", b"\0", b"\xff" * 3])
def test_a_chunk_of_a_picture_that_is_too_short_ends_in_no_exception_but_ours(tmp_path, reads, kind, content):
    whole = grey_png(8, b"\x01\xff")
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    for place in (8, 33, len(whole) - 12):  # before every chunk, before the values, and after them
        (tmp_path / "a.png").write_bytes(whole[:place] + chunk + whole[place:])
        with contextlib.suppress(BadInputError):
            assert reads(tmp_path / "a.png") is not None
