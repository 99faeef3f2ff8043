"""The readers that are fuzzed, a row each: its sound files, what is done to them, and how its answer is checked."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from lab.fuzz import corpus
from lab.fuzz.edits import Edit, unpacked
from lab.fuzz.mutants import BYTES, JSON, NPY_HEADER, PNG_CHUNKS, TEXT, Edits, drawn, members
from lab.fuzz.worker import WronglyReadError
from mde_runtime import records
from mde_runtime.errors import BadInputError


def nothing_beside(folder: Path) -> None:
    """Leave the folder empty."""


@dataclass(frozen=True)
class Reader:
    """A reader of one kind of file. `read` raises MdeError for what it refuses, WronglyReadError for its own slips.

    `read` and `prepare` run in a process of their own, so they are functions that pickle can name.
    """

    name: str  # of the file; what else belongs there `prepare` writes
    seeds: Callable[[Path], Sequence[bytes]]
    edits: Edits
    read: Callable[[Path], None]
    prepare: Callable[[Path], None] = nothing_beside


def check(is_right: object, what: str) -> None:
    """Raise WronglyReadError unless it is right."""
    if not is_right:
        raise WronglyReadError(what)


def bundle(path: Path) -> None:
    """Every member is of the hash that was checked, and the golden frames are those of the contract."""
    from mde_runtime.bundle import check_whole, read_bundle

    opened = read_bundle(path)
    check_whole(opened)
    for precision in opened.precisions:
        check(opened.certificate(precision).precision == precision, "certificate of another precision")
    check(np.isfinite(opened.golden().depth_m).all(), "golden depth is no number")
    check(
        opened.golden().frames.shape[1:3] == (opened.contract.source.height_px, opened.contract.source.width_px), "size"
    )


def record(kind: Callable[[], type], path: Path) -> None:
    """JSON of a record: what is read says what Python's own reader says, and is written and read again the same."""
    text = path.read_bytes()
    found: object = records.loads(kind(), text, "record")
    plain = json.loads(text)
    if plain.get("version") == 2 or "version" not in plain:
        written = records.to_json(found)
        check(all(_same(written[key], value) for key, value in plain.items()), "another value than the file's")
    check(records.loads(kind(), records.dumps(found), "record") == found, "another record when it is read again")


def _same(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return all(key in one and _same(one[key], value) for key, value in other.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-12) and math.isfinite(other)
    return one == other


def contract_class() -> type:
    """The contract."""
    from mde_runtime.contract import Contract

    return Contract


def recipe_class() -> type:
    """The recipe."""
    from mde_train.recipe import Recipe

    return Recipe


def certificate(path: Path) -> None:
    """A certificate says of itself whether it passed."""
    from mde_runtime.certificate import read_certificate

    found = read_certificate(path.read_bytes(), str(path))
    check(all(np.isfinite(v) for v in vars(found.parity).values() if isinstance(v, float)), "figures that are none")


def depth_array(path: Path) -> None:
    """The values are numpy's."""
    from mde_train.data.images import read_depth_npy

    found = read_depth_npy(path)
    check(np.array_equal(found, np.load(path, allow_pickle=False).astype(np.float32)), "other values than numpy's")
    check(found.ndim == 2 and np.isfinite(found).all(), "no map of numbers")


def depth_picture(path: Path) -> None:
    """Whole numbers of 8 or 16 bits, the brightest at most their end."""
    from mde_train.data.images import read_levels

    found = read_levels(path)
    check(found.values.max() < 1 << found.num_bits, "a level above its bits")


def depth_of_an_engine(path: Path) -> None:
    """A map, whatever its numbers: those that are none are counted later."""
    from mde_runtime.depth_files import depth_of_frame

    found = depth_of_frame(path.parent, path.stem)
    check(found.ndim == 2 and found.size > 0 and found.dtype == np.float32, "no map")


def picture(path: Path) -> None:
    """Upright RGB, as Pillow's own way gives it."""
    from mde_runtime.sources.pictures import read_picture

    found = read_picture(path)
    check(found.ndim == 3 and found.shape[2] == 3 and found.dtype == np.uint8, "no frame")


def data_set(path: Path) -> None:
    """Samples of the data set that the file belongs to: frame and depth of one size, finite, not negative."""
    from mde_train.data.layouts import layout_of

    root = path.parent
    samples = layout_of(root).open_split(root, "train")
    for index in range(min(len(samples), 3)):
        sample = samples[index]
        check(sample.frame.shape[:2] == sample.depth_m.shape, "frame and depth of two sizes")
        check(np.isfinite(sample.depth_m[sample.valid]).all(), "depth that is no number")


def checkpoint(path: Path) -> None:
    """Weights that are numbers, and frames of the contract's size."""
    from mde_train.checkpoint import read_checkpoint

    found = read_checkpoint(path)
    check(found.heldout_frames.shape[1] == found.contract.source.height_px, "frames of another size")
    check((found.heldout_depth_m >= 0).all(), "depth that is none")


def weights(path: Path) -> None:
    """A state dict into a network of ours."""
    from mde_train.checkpoint import load_weights
    from mde_train.models import build_model

    load_weights(build_model("fast"), path)


def measured_points(path: Path) -> None:
    """Points inside their pictures."""
    from mde_export.camera.points import points_of
    from mde_export.request.request import Request

    for shot in points_of(path, Request(model="none"), corpus.contract()):
        check(shot.rows.min() >= 0 and shot.columns.min() >= 0, "a point outside")
        check(np.isfinite(shot.metres).all(), "a distance that is none")


def gate(path: Path) -> None:
    """Limits that are numbers."""
    from mde_bench.result.gate import read_gate

    check(all(math.isfinite(limit.value) for limit in read_gate(path).limits), "a limit that nothing can break")


def graph(path: Path) -> None:
    """What is known of a graph without the onnx package; the error there is ValueError, which bundles pass on."""
    from mde_runtime.onnx_graph.content import facts_of

    try:
        facts_of(path.read_bytes())
    except ValueError as error:
        raise BadInputError(f"{path.name}: {error}") from error


def a_frame_beside(folder: Path) -> None:
    """What lists name."""
    (folder / "data").mkdir()
    for name in ("frame.png", "data/frame.png"):
        (folder / name).write_bytes(corpus.upright())
    for name in ("depth.png", "data/depth.png"):
        (folder / name).write_bytes(corpus.depth_pictures()[0])


def mat_beside(folder: Path) -> None:
    """The file that splits.mat belongs to."""
    (folder / "nyu_depth_v2_labeled.mat").write_bytes(corpus.mats()[0])


def splits_beside(folder: Path) -> None:
    """The file that goes with NYU's labelled one."""
    (folder / "splits.mat").write_bytes(corpus.splits()[0])


def vouched_for(content: bytes, edit: Edit) -> bytes:
    """A bundle after an edit, whose manifest then vouches for what came of it."""
    return corpus.with_true_manifest(unpacked(edit(content)) or {"manifest.json": b"{}"})


RECORDS = JSON | JSON | BYTES
LISTS = TEXT | TEXT | BYTES
BUNDLES = st.one_of(
    BYTES,
    members(BYTES),
    drawn(vouched_for, BYTES),
    drawn(vouched_for, members(BYTES)),
    drawn(vouched_for, members(NPY_HEADER)),
)
READERS = {
    "bundle": Reader("model.mde", corpus.bundles, BUNDLES, bundle),
    "graph": Reader("graph.onnx", lambda _: corpus.graphs(), BYTES, graph),
    "contract": Reader("contract.json", lambda _: corpus.contracts(), RECORDS, partial(record, contract_class)),
    "certificate": Reader("certificate.json", lambda _: corpus.certificates(), RECORDS, certificate),
    "recipe": Reader("recipe.json", lambda _: corpus.recipes(), RECORDS, partial(record, recipe_class)),
    "npy": Reader("depth.npy", lambda _: corpus.depth_arrays(), BYTES | NPY_HEADER, depth_array),
    "depth-png": Reader("depth.png", lambda _: corpus.depth_pictures(), BYTES | PNG_CHUNKS, depth_picture),
    "engine-npy": Reader("golden-0.npy", lambda _: corpus.depth_arrays(), BYTES | NPY_HEADER, depth_of_an_engine),
    "engine-png": Reader("golden-0.png", lambda _: corpus.depth_pictures(), BYTES | PNG_CHUNKS, depth_of_an_engine),
    "picture": Reader("frame.png", lambda _: corpus.pictures(), BYTES | BYTES | PNG_CHUNKS, picture),
    "mat": Reader("nyu_depth_v2_labeled.mat", lambda _: corpus.mats(), BYTES, data_set, splits_beside),
    "splits": Reader("splits.mat", lambda _: corpus.splits(), BYTES, data_set, mat_beside),
    "nyu-csv": Reader("data/nyu2_train.csv", lambda _: corpus.nyu_lists(), LISTS, data_set, a_frame_beside),
    "kitti": Reader("train_files.txt", lambda _: corpus.kitti_lists(), LISTS, data_set, a_frame_beside),
    "points": Reader("points.csv", lambda _: corpus.points(), LISTS, measured_points, a_frame_beside),
    "gate": Reader("gate.toml", lambda _: corpus.gates(), LISTS, gate),
    "checkpoint": Reader("model.ckpt", corpus.checkpoints, BYTES | members(BYTES), checkpoint),
    "weights": Reader("model.pth", lambda f: corpus.checkpoints(f)[1:], BYTES | members(BYTES), weights),
}
