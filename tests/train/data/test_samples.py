import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mde_runtime.errors import BadInputError
from mde_train.data import load_arrays, open_split

from .conftest import HEIGHT_PX, WIDTH_PX, write_pair


def test_the_hash_is_that_of_the_content_and_not_of_the_place(unreal, tmp_path):
    root = unreal()
    shutil.copytree(root, tmp_path / "elsewhere")
    assert open_split(root, "train").sha256 == open_split(tmp_path / "elsewhere", "train").sha256


def test_the_hash_changes_with_one_pixel_with_a_name_and_with_a_frame_left_out(unreal):
    root = unreal()
    samples = open_split(root, "train")
    depth_m = samples[1].depth_m.copy()
    depth_m[3, 3] += 0.001
    hashes = {samples.sha256, samples[:2].sha256}
    write_pair(root, "train", "1", depth_m, seed=1)
    hashes.add(open_split(root, "train").sha256)
    for kind, suffix in (("rgb", "jpeg"), ("depth", "npy")):
        (root / kind / "train" / f"2.{suffix}").rename(root / kind / "train" / f"9.{suffix}")
    hashes.add(open_split(root, "train").sha256)
    assert len(hashes) == 4


def test_a_slice_of_samples_is_a_set_of_samples(unreal):
    samples = open_split(unreal(num_train=5), "train")[1:4:2]
    assert ([sample.name for sample in samples], samples.names) == (["1", "3"], ("1", "3"))


def test_arrays_hold_what_the_samples_hold(unreal):
    samples = open_split(unreal(), "train")
    arrays = load_arrays(samples)
    assert (arrays.names, arrays.sha256, len(arrays)) == (samples.names, samples.sha256, 3)
    for index, sample in enumerate(samples):
        np.testing.assert_array_equal(arrays.frames[index], sample.frame)
        np.testing.assert_array_equal(arrays.depth_m[index], sample.depth_m)
        np.testing.assert_array_equal(arrays.valid[index], sample.valid)


def test_float16_depth_is_half_the_memory_and_within_8_mm_below_32_m(unreal):
    samples = open_split(unreal(), "train")
    narrow, wide = load_arrays(samples, "float16"), load_arrays(samples)
    assert narrow.depth_m.nbytes * 2 == wide.depth_m.nbytes
    assert np.abs(narrow.depth_m.astype(np.float32) - wide.depth_m).max() <= 2**-7  # half a step between 16 and 32


def test_mapped_arrays_are_those_in_memory_and_written_once(unreal, tmp_path, monkeypatch):
    monkeypatch.setenv("MDE_CACHE", str(tmp_path / "cache"))
    samples = open_split(unreal(), "train")
    inside, mapped = load_arrays(samples, is_mapped=False), load_arrays(samples, is_mapped=True)
    for name in ("frames", "depth_m", "valid"):
        np.testing.assert_array_equal(getattr(mapped, name), getattr(inside, name))
        assert isinstance(getattr(mapped, name), np.memmap)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")}
    load_arrays(samples, is_mapped=True)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")} == files
    assert len(files) == 1


def test_a_split_that_fits_in_memory_is_not_mapped(unreal, tmp_path, monkeypatch):
    monkeypatch.setenv("MDE_CACHE", str(tmp_path / "cache"))
    assert not isinstance(load_arrays(open_split(unreal(), "train")).frames, np.memmap)
    assert not (tmp_path / "cache").exists()


def test_mapping_that_fails_leaves_nothing_behind(unreal, tmp_path, monkeypatch):
    monkeypatch.setenv("MDE_CACHE", str(tmp_path / "cache"))
    root = unreal()
    (root / "rgb" / "train" / "2.jpeg").write_bytes(b"no picture")
    with pytest.raises(BadInputError, match=r"2\.jpeg: not a readable picture"):
        load_arrays(open_split(root, "train"), is_mapped=True)
    assert [path.name for path in (tmp_path / "cache" / "frames").iterdir()] == ["frames.lock"]


def test_frames_of_different_sizes_do_not_stack(unreal):
    root = unreal()
    samples = open_split(root, "train")
    write_smaller(root, "1")
    with pytest.raises(BadInputError, match=r'frame 1 of train has 5x6 px.*write {"height_px": 5, "width_px": 6} to '):
        load_arrays(samples)


def write_smaller(root: Path, name: str) -> None:
    Image.new("RGB", (6, 5)).save(root / "rgb" / "train" / f"{name}.jpeg")
    np.save(root / "depth" / "train" / f"{name}.npy", np.full((5, 6), 2, np.float32))


def test_reading_data_loads_no_torch():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, mde_train.data, mde_train.data.layouts.unreal; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"torch", "torchvision", "lightning", "h5py", "skimage"}.isdisjoint(loaded)


@pytest.fixture
def declared(tmp_path):
    """Write two frames with depth of 16 bits, whose unit is declared, and perhaps what they are cut to."""

    def write(metres_per_unit: float, **cut: int) -> Path:
        root = tmp_path / "own"
        for folder in ("frames", "depth"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(2):
            Image.new("RGB", (8, 6)).save(root / "frames" / f"{index}.png")
            Image.fromarray(np.full((6, 8), 1000 + index, np.uint16)).save(root / "depth" / f"{index}.png")
        unit = {"frames": "frames", "depth": "depth", "metres_per_unit": metres_per_unit}
        (root / "layout.json").write_text(json.dumps(unit))
        if cut:
            (root / "cut.json").write_text(json.dumps(cut))
        return root

    return write


@pytest.mark.parametrize("cut", [{}, {"height_px": 4, "width_px": 8}])
def test_another_unit_is_other_data(declared, cut):
    hashes = [open_split(declared(unit, **cut), "train").sha256 for unit in (0.001, 0.0001, 0.001)]
    assert hashes[0] == hashes[2] != hashes[1]


def test_mapped_depth_is_in_the_unit_that_is_declared_now(declared, tmp_path, monkeypatch):
    monkeypatch.setenv("MDE_CACHE", str(tmp_path / "cache"))
    for unit in (0.001, 0.0001):
        arrays = load_arrays(open_split(declared(unit), "train"), is_mapped=True)
        assert arrays.depth_m.max() == pytest.approx(1001 * unit)


def test_depth_beyond_float16_is_its_farthest_and_no_infinity(unreal):
    root = unreal()
    depth_m = np.full((HEIGHT_PX, WIDTH_PX), 5, np.float32)
    depth_m[:3] = 1e10  # the sky of a renderer
    write_pair(root, "train", "1", depth_m)
    narrow, wide = (load_arrays(open_split(root, "train"), dtype).depth_m[1] for dtype in ("float16", "float32"))
    assert (narrow[:3] == np.finfo(np.float16).max).all()
    assert (narrow[3:] == 5).all()
    np.testing.assert_array_equal(wide, depth_m)
