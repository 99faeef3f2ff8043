"""Data sets come from others: whatever their files hold, one error says which file is wrong."""

import contextlib
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse
from PIL import Image
from scipy.io import savemat

from mde_runtime.errors import BadInputError
from mde_runtime.frame_lists import read_lines
from mde_train.data import open_split
from mde_train.data.images import read_depth_npy

NUM_FRAMES, HEIGHT_PX, WIDTH_PX = 3, 4, 6


# Names


def test_a_frame_whose_name_is_no_text_is_named(tmp_path):
    for kind, suffix in (("rgb", ".jpeg"), ("depth", ".npy")):
        (tmp_path / kind / "train").mkdir(parents=True)
        path = tmp_path / kind / "train" / f"\udce9{suffix}"
        try:
            path.touch()
        except OSError:
            pytest.skip("this file system takes names in UTF-8 alone")
        if suffix == ".npy":
            np.save(path, np.full((HEIGHT_PX, WIDTH_PX), 5, np.float32))
    with pytest.raises(BadInputError, match=r"the name of frame '\\udce9' is not UTF-8; rename its files"):
        open_split(tmp_path, "train")


# Lists


@pytest.fixture
def nyu_list(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "data").mkdir()
        (tmp_path / "data/nyu2_train.csv").write_text(text)
        return tmp_path

    return write


@pytest.fixture
def kitti_list(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "train_files.txt").write_text(text)
        return tmp_path

    return write


NO_NAMES = [".", "./.", "a\0b", "x" * 300, "/etc/passwd", "../a", "a/../../b"]


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("line", ["{},a.png", "a.png,{}"])
def test_a_csv_line_that_names_no_file_of_the_data_set_is_named(nyu_list, line, name):
    with pytest.raises(BadInputError, match=r"nyu2_train.csv, line 1: .* is not a (file name|path inside)"):
        open_split(nyu_list(line.format(name)), "train")


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("line", ["{} a.png", "a.png {}", "{} 7 l"])
def test_a_kitti_line_that_names_no_file_of_the_data_set_is_named(kitti_list, line, name):
    with pytest.raises(BadInputError, match=r"train_files.txt, line 1: .* is not a (file name|path inside)"):
        open_split(kitti_list(line.format(name)), "train")


@pytest.mark.parametrize("index", ["9" * 5000, "9" * 19, "\u0661"])
def test_a_kitti_index_that_no_frame_has_is_named_and_cut_short(kitti_list, index):
    with pytest.raises(BadInputError, match=r"line 1: .* is not a frame number") as caught:
        open_split(kitti_list(f"drive {index} l"), "train")
    assert len(str(caught.value)) < 300


def test_a_byte_order_mark_belongs_to_no_name(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.png b.png\n")
    assert list(read_lines(tmp_path / "list.txt")) == [(1, "a.png b.png")]


# MATLAB files


@pytest.fixture
def mat(tmp_path):
    """A function that writes a labelled .mat; `change` may alter it."""

    def write(change=lambda _file: None, train=((1,), (2,))) -> Path:
        with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
            file["images"] = np.zeros((NUM_FRAMES, 3, WIDTH_PX, HEIGHT_PX), np.uint8)
            file["rawDepths"] = np.full((NUM_FRAMES, WIDTH_PX, HEIGHT_PX), 5, np.float32)
            change(file)
        savemat(
            tmp_path / "splits.mat",
            {"trainNdxs": np.array(train) if isinstance(train, tuple) else train, "testNdxs": np.array([[3]])},
        )
        return tmp_path

    return write


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_frame_numbers_may_be_of_any_type_that_holds_them(mat, dtype):
    assert open_split(mat(train=np.array([[1, 3]], dtype)), "train").names == ("1", "3")


@pytest.mark.parametrize(
    "numbers",
    [
        *(np.array([[value]]) for value in (np.nan, np.inf, -np.inf, 1.5, 0.0, -1.0, 4.0, 1e300, 1 + 0j)),
        np.array([[1, 1]]),
        np.empty((0, 0)),
        "abc",
        np.array([[np.array([1]), "a"]], dtype=object),
        {"a": 1},
        scipy.sparse.csc_matrix(np.eye(2)),
    ],
    ids=str,
)
def test_frame_numbers_that_number_no_frames_are_refused(mat, numbers):
    with pytest.raises(
        BadInputError, match=r"splits.mat: (trainNdxs does not number the 3 frames|contains no readable trainNdxs)"
    ):
        open_split(mat(train=numbers), "train")


def replaced(name: str, put):
    def change(file: h5py.File) -> None:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        put(file, name, shape, dtype)

    return change


def external_storage(folder: Path):
    (folder / "secret").write_bytes(bytes(4096))
    return lambda file, name, shape, dtype: file.create_dataset(
        name, shape, dtype, external=[(str(folder / "secret"), 0, int(np.prod(shape)) * dtype.itemsize)]
    )


def external_link(folder: Path):
    def put(file, name, shape, dtype):
        with h5py.File(folder / "other.h5", "w") as other:
            other[name] = np.zeros(shape, dtype)
        file[name] = h5py.ExternalLink(str(folder / "other.h5"), name)

    return put


def soft_link(folder: Path):  # noqa: ARG001  of the same form as the others
    def put(file, name, shape, dtype):
        file["elsewhere"] = np.zeros(shape, dtype)
        file[name] = h5py.SoftLink("/elsewhere")

    return put


def virtual_array(folder: Path):
    def put(file, name, shape, dtype):
        layout = h5py.VirtualLayout(shape, dtype)
        layout[:] = h5py.VirtualSource(str(folder / "other.h5"), name, shape)
        file.create_virtual_dataset(name, layout)

    return put


@pytest.mark.parametrize("place", [external_storage, external_link, soft_link, virtual_array])
@pytest.mark.parametrize("name", ["images", "rawDepths"])
def test_an_array_that_lies_elsewhere_is_never_followed(mat, tmp_path, name, place):
    with pytest.raises(BadInputError, match=f"takes {name} from another file, which is never opened"):
        open_split(mat(replaced(name, place(tmp_path))), "train")


# Headers of .npy files

SOUND = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 6), }"


def npy_with(path: Path, header: str) -> Path:
    content = header.encode("latin-1") + b"\n"
    array = np.ones((HEIGHT_PX, WIDTH_PX), "<f4").tobytes()
    path.write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(content)) + content + array)
    return path


def test_a_sound_header_is_read(tmp_path):
    assert read_depth_npy(npy_with(tmp_path / "0.npy", SOUND)).shape == (HEIGHT_PX, WIDTH_PX)


@pytest.mark.parametrize(
    "header",
    [
        SOUND.replace("'shape'", "b'shape'"),
        SOUND.replace("4, 6", "True, 6"),
        SOUND.replace("4, 6", "4.0, 6"),
        SOUND.replace("4, 6", "-4, 6"),
        SOUND.replace("4, 6", f"{'9' * 5000}, 6"),
        SOUND.replace("'<f4'", "[('a', [('b', '<f4')], (2, b'x'))]"),
        SOUND.replace("'<f4'", "'|O'"),
        SOUND.replace("False", "0"),
        "{[]: 1}",
        "{{}: 1}",
        "[]",
        " " * 64,
        "",
        "\0" * 8,
        "{'descr': '<f4'\n\n, 'fortran_order': !, 'shape'",
        "(" * 9000,
        "-" * 9000,
        "{'a':" * 90,
    ],
    ids=lambda header: header[:30],
)
def test_a_damaged_header_is_one_line_that_names_the_file(tmp_path, header):
    with pytest.raises(BadInputError, match=r"0\.npy: ") as caught:
        read_depth_npy(npy_with(tmp_path / "0.npy", header))
    assert len(str(caught.value).splitlines()) == 1


def test_any_damaged_byte_of_a_header_is_bad_input_or_sound(tmp_path):
    sound = npy_with(tmp_path / "0.npy", SOUND).read_bytes()
    for place in range(8, 8 + len(SOUND) + 2):
        for value in (0, 9, 39, 40, 91, 98, 123, 255):
            (tmp_path / "0.npy").write_bytes(sound[:place] + bytes([value]) + sound[place + 1 :])
            with contextlib.suppress(BadInputError):
                assert read_depth_npy(tmp_path / "0.npy").ndim == 2


def test_a_picture_beside_an_odd_name_is_still_read(tmp_path):
    (tmp_path / "rgb/train").mkdir(parents=True)
    (tmp_path / "depth/train").mkdir(parents=True)
    Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(tmp_path / "rgb/train/\u6df1.jpeg")
    np.save(tmp_path / "depth/train/\u6df1.npy", np.full((HEIGHT_PX, WIDTH_PX), 5, np.float32))
    samples = open_split(tmp_path, "train")
    assert (samples.names, len(samples.sha256)) == (("\u6df1",), 64)
