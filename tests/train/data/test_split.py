import json

import pytest

from mde_runtime.errors import BadInputError, UsageError
from mde_train.data import open_split, splits_of
from mde_train.data.split import hold_out


def test_a_set_without_val_gets_whole_stretches_with_a_gap_on_both_sides(unreal):
    root = unreal(num_train=20, num_val=0)
    hold_out(root, 0.2, 2, 1)
    assert splits_of(root) == ("train", "val")
    train, val = open_split(root, "train"), open_split(root, "val")
    assert val.names == ("4", "5", "14", "15")
    assert train.names == tuple(str(n) for n in range(20) if n not in {3, 4, 5, 6, 13, 14, 15, 16})
    assert {(skipped.name, skipped.reason) for skipped in train.skipped} == {
        (name, "beside held-out frames") for name in ("3", "6", "13", "16")
    }
    assert (val.split, val[0].name, val.skipped) == ("val", "4", ())


@pytest.mark.parametrize(("val_share", "num_blocks", "gap_frames"), [(0.1, 1, 0), (0.3, 3, 0), (0.25, 5, 1)])
def test_no_frame_is_in_both_splits_and_none_is_lost(unreal, val_share, num_blocks, gap_frames):
    root = unreal(num_train=40, num_val=0)
    hold_out(root, val_share, num_blocks, gap_frames)
    train, val = open_split(root, "train"), open_split(root, "val")
    gap = [skipped.name for skipped in train.skipped]
    assert sorted([*train.names, *val.names, *gap], key=int) == [str(n) for n in range(40)]
    assert len(val) == pytest.approx(40 * val_share, abs=num_blocks / 2)
    assert len(gap) == 2 * num_blocks * gap_frames


def test_a_set_that_has_val_is_left_alone(unreal):
    root = unreal()
    with pytest.raises(
        UsageError, match="its layout holds train, val; only a data set with train and without val can be split"
    ):
        hold_out(root, 0.2, 1, 0)
    assert not (root / "split.json").exists()


def test_a_set_with_a_test_list_alone_is_left_alone(tmp_path):
    (tmp_path / "test_files.txt").write_text("".join(f"{n}.png {n}_depth.png 721.5\n" for n in range(20)))
    with pytest.raises(
        UsageError, match="its layout holds test; only a data set with train and without val can be split"
    ):
        hold_out(tmp_path, 0.2, 1, 0)
    assert not (tmp_path / "split.json").exists()


@pytest.mark.parametrize(("val_share", "num_blocks", "gap_frames"), [(0.2, 2, 4), (0.01, 1, 0), (0.5, 10, 1)])
def test_stretches_that_do_not_fit_are_refused(unreal, val_share, num_blocks, gap_frames):
    root = unreal(num_train=20, num_val=0)
    with pytest.raises(UsageError, match=r"20 frames do not hold .* ask for fewer blocks"):
        hold_out(root, val_share, num_blocks, gap_frames)


@pytest.mark.parametrize(("first", "last"), [("3", "99"), ("99", "3"), ("4", "2")])
def test_a_division_of_other_frames_is_refused(unreal, first, last):
    root = unreal(num_train=6, num_val=0)
    (root / "split.json").write_text(json.dumps({"val": [{"first": first, "last": last}], "gap_frames": 0}))
    words = rf"split\.json: no frames {first} to {last} here; remove it and run mde-data split"
    with pytest.raises(BadInputError, match=words):
        open_split(root, "train")


@pytest.mark.parametrize(
    ("val", "split"), [([], "val"), ([{"first": "0", "last": "5"}], "train")], ids=["none", "every one"]
)
def test_a_division_that_leaves_a_split_no_frame_is_refused(unreal, val, split):
    root = unreal(num_train=6, num_val=0)
    (root / "split.json").write_text(json.dumps({"val": val, "gap_frames": 0}))
    with pytest.raises(BadInputError, match=rf"split\.json: leaves no frame for {split}; remove it and run mde-data"):
        open_split(root, split)


def test_a_gap_that_would_train_on_held_out_frames_is_refused(unreal):
    root = unreal(num_train=6, num_val=0)
    (root / "split.json").write_text(json.dumps({"val": [{"first": "2", "last": "4"}], "gap_frames": -1}))
    with pytest.raises(BadInputError, match=r"split\.json: gap_frames -1; use 0 or more"):
        open_split(root, "train")


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe{}"])
def test_a_damaged_division_is_named(unreal, content):
    root = unreal(num_train=6, num_val=0)
    (root / "split.json").write_bytes(content)
    with pytest.raises(BadInputError, match=r"split\.json: not JSON"):
        open_split(root, "train")
