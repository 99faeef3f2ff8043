import numpy as np
import pytest

from mde_runtime.errors import BadInputError
from mde_train.data import open_split, splits_of

from .conftest import HEIGHT_PX, WIDTH_PX, depth_map, write_pair


def test_a_sample_is_the_frame_and_its_depth_in_metres(unreal):
    sample = open_split(unreal(), "val")[1]
    assert (sample.name, sample.frame.shape, sample.frame.dtype) == ("4", (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    assert sample.depth_m.dtype == np.float32
    np.testing.assert_array_equal(sample.depth_m, depth_map(4))
    assert sample.valid.all()


def test_the_splits_are_those_on_disk(unreal):
    assert splits_of(unreal(num_val=0)) == ("train",)
    assert splits_of(unreal(num_val=2)) == ("train", "val")


def test_samples_come_in_numeric_order(unreal):
    assert open_split(unreal(num_train=12), "train").names == tuple(map(str, range(12)))


def test_depth_of_zero_is_no_measurement(unreal):
    root, depth_m = unreal(), depth_map(0)
    depth_m[2, 3] = 0
    write_pair(root, "train", "0", depth_m)
    assert np.argwhere(~open_split(root, "train")[0].valid).tolist() == [[2, 3]]


def test_a_frame_whose_depth_stays_below_one_metre_is_left_out_and_named(unreal):
    root = unreal()
    write_pair(root, "train", "1", np.full((HEIGHT_PX, WIDTH_PX), 0.6, np.float32))
    samples = open_split(root, "train")
    assert samples.names == ("0", "2")
    assert [(skipped.name, skipped.reason) for skipped in samples.skipped] == [
        ("1", "its largest depth is 0.60 m: not a depth map")
    ]


def test_a_bad_frame_is_kept_when_that_is_asked_for(unreal):
    root = unreal()
    write_pair(root, "train", "1", np.full((HEIGHT_PX, WIDTH_PX), 0.6, np.float32))
    samples = open_split(root, "train", keep_bad_frames=True)
    assert (len(samples), samples.skipped) == (3, ())


def test_a_frame_with_one_pixel_beyond_a_metre_is_left_alone(unreal):
    root, depth_m = unreal(), np.full((HEIGHT_PX, WIDTH_PX), 0.6, np.float32)
    depth_m[0, 0] = 1.0
    write_pair(root, "train", "1", depth_m)
    assert len(open_split(root, "train")) == 3


def test_a_split_of_nothing_but_bad_frames_says_why_it_is_empty(unreal):
    root = unreal(num_val=1)
    write_pair(root, "val", "3", np.full((HEIGHT_PX, WIDTH_PX), 0.6, np.float32))
    with pytest.raises(
        BadInputError, match=r"every frame of val is left out; the first is 3, its largest depth is 0.60"
    ):
        open_split(root, "val")


def test_a_missing_root_says_how_to_make_one(tmp_path):
    with pytest.raises(BadInputError, match=r"nowhere: no such folder; make a data set there with mde-data synth"):
        open_split(tmp_path / "nowhere", "train")


def test_a_folder_that_is_no_data_set_says_which_layouts_are_known(tmp_path):
    with pytest.raises(BadInputError, match=r"not a supported layout .*unreal"):
        open_split(tmp_path, "train")


def test_a_missing_split_names_those_that_are_there(unreal):
    with pytest.raises(BadInputError, match="no split 'test'; it holds train, val"):
        open_split(unreal(), "test")


def test_a_set_without_any_split_says_where_to_look(tmp_path):
    (tmp_path / "rgb").mkdir()
    with pytest.raises(BadInputError, match=r"not a supported layout .*; see mde-data check --help"):
        splits_of(tmp_path)


def test_what_is_read_can_be_written(unreal):
    sample = open_split(unreal(), "train")[0]
    assert all(array.flags.writeable for array in (sample.frame, sample.depth_m, sample.valid))


def test_a_missing_depth_folder_is_named(unreal):
    root = unreal()
    for file in (root / "depth" / "val").iterdir():
        file.unlink()
    (root / "depth" / "val").rmdir()
    with pytest.raises(BadInputError, match="depth/val: no such folder; mde-data check --help shows"):
        open_split(root, "val")


def test_an_empty_folder_is_named(unreal):
    root = unreal()
    for file in (root / "rgb" / "val").iterdir():
        file.unlink()
    with pytest.raises(BadInputError, match=r"rgb/val: no \.jpeg file; is the data set unpacked"):
        open_split(root, "val")


def test_a_frame_without_depth_is_named(unreal):
    root = unreal()
    (root / "depth" / "train" / "1.npy").unlink()
    with pytest.raises(BadInputError, match=r"rgb/train: 1 of 3 files have no depth, the first is 1\.jpeg; copy"):
        open_split(root, "train")


def test_depth_without_a_frame_is_named(unreal):
    root = unreal()
    (root / "rgb" / "train" / "1.jpeg").unlink()
    with pytest.raises(BadInputError, match=r"depth/train: 1 of 3 files have no frame, the first is 1\.npy; copy"):
        open_split(root, "train")


@pytest.mark.parametrize("num_bytes_left", [0, 10, 400])
def test_a_corrupt_jpeg_is_named(unreal, num_bytes_left):
    root = unreal()
    file = root / "rgb" / "train" / "1.jpeg"
    file.write_bytes(file.read_bytes()[:num_bytes_left])
    samples = open_split(root, "train")
    assert samples[0].name == "0"
    with pytest.raises(BadInputError, match=r"rgb/train/1\.jpeg: not a readable picture \(.+\)"):
        samples[1]


def test_depth_of_another_size_than_its_frame_is_named(unreal):
    root = unreal()
    np.save(root / "depth" / "train" / "1.npy", np.ones((5, 6), np.float32))
    with pytest.raises(BadInputError, match=r"1\.npy: depth of 5x6 px, but 1\.jpeg has 12x16 px"):
        open_split(root, "train")[1]


@pytest.mark.parametrize("shape", [(12,), (12, 16, 1), (0, 16), (1, 17000)])
def test_depth_of_a_wrong_shape_is_named(unreal, shape):
    root = unreal()
    np.save(root / "depth" / "train" / "1.npy", np.ones(shape, np.float32))
    with pytest.raises(BadInputError, match=r"1\.npy: shape .* it must be height x width"):
        open_split(root, "train")[1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_depth_with_nan_or_inf_is_named(unreal, value):
    root, depth_m = unreal(), depth_map(1)
    depth_m[0, :3] = value
    write_pair(root, "train", "1", depth_m)
    with pytest.raises(BadInputError, match=r"1\.npy: 3 values are NaN or Inf; write 0 where nothing was measured"):
        open_split(root, "train")[1]


UNFINISHED = b"{'descr': '<f4', 'fortran_order': False, 'shape': (12L, 16), "  # numpy tokenizes it, for Python 2's sake


@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY\x01\x00v\x00{'descr'", b"no array", b"\x93NUMPY\x01\x00\x3d\x00" + UNFINISHED],
)
def test_a_damaged_npy_is_named(unreal, content):
    root = unreal()
    (root / "depth" / "train" / "1.npy").write_bytes(content)
    with pytest.raises(BadInputError, match=r"1\.npy: not a readable \.npy file"):
        open_split(root, "train")[1]


def test_a_pickle_in_an_npy_is_refused_and_does_not_run(unreal, tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    root = unreal()
    np.save(root / "depth" / "train" / "1.npy", np.array([Malicious()], object), allow_pickle=True)
    with pytest.raises(BadInputError, match=r"1\.npy: not a readable \.npy file"):
        open_split(root, "train")[1]
    assert not (tmp_path / "ran").exists()
