"""The frames that a run trains on and is judged on, whole in memory: decoding never starves the model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mde_runtime.command import say
from mde_runtime.contract import Contract, FromNetwork
from mde_runtime.errors import BadInputError
from mde_runtime.evenly_spaced import evenly_spaced
from mde_train.augment import augmented
from mde_train.data import FrameArrays, FrameSet, load_arrays, open_split, splits_of
from mde_train.data.split import NUM_HELDOUT, Block, blocks_of
from mde_train.data.synth.dataset import MARKER
from mde_train.models import contract_of
from mde_train.recipe import Augment, Recipe
from mde_train.shrinking import shrinking

HELD_OUT_SHARE, HELD_OUT_GAP_FRAMES = 0.05, 10  # of a training split where there is a test split and no val
NUM_JUDGED = 300  # frames at most: all 600 of a val split would take 7 % of a run of `fast` over 3,500
LEAST_VARIATION = 0.005  # of the held-out truth, in spans of the model's range: less is another unit or range


@dataclass(frozen=True)
class Batch:
    """Frames float32 (N, 3, H, W), 0..255; depth_m float32 and valid bool, (N, 1, H, W)."""

    names: tuple[str, ...]
    frames: Tensor
    depth_m: Tensor
    valid: Tensor

    def part(self, rank: int, world_size: int) -> "Batch":
        """Every world_size-th sample: what one of several devices works on."""
        mine = slice(rank, None, world_size)
        return Batch(self.names[mine], self.frames[mine], self.depth_m[mine], self.valid[mine])


class TrainingFrames:
    """The training split as tensors; gives the batch of any step, and always the same one."""

    def __init__(self, arrays: FrameArrays, batch_size: int, seed: int):
        if len(arrays) < batch_size:
            raise BadInputError(
                f"{len(arrays)} training frames do not fill a batch of {batch_size}; --set batch_size={len(arrays)}"
            )
        self.names, self.sha256 = arrays.names, arrays.sha256
        self.steps_per_epoch = len(arrays) // batch_size  # what is left over waits for the next epoch's shuffle
        self._batch_size, self._seed, self._device = batch_size, seed, torch.device("cpu")
        self._is_mapped = isinstance(arrays.frames, np.memmap)
        self._frames, self._depth_m, self._valid = map(torch.from_numpy, (arrays.frames, arrays.depth_m, arrays.valid))

    def to(self, device: torch.device) -> None:
        """Give batches on a device; frames that are in memory move there as a whole, mapped ones batch by batch."""
        self._device = device
        if not self._is_mapped:
            self._frames, self._depth_m, self._valid = (
                values.to(device) for values in (self._frames, self._depth_m, self._valid)
            )

    def batch(self, step: int, how: Augment) -> Batch:
        """The batch of a step, shuffled and augmented: a function of the seed and the step alone."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self.names))
        picked = order[within * self._batch_size : (within + 1) * self._batch_size]
        index = torch.from_numpy(picked).to(self._frames.device)
        frames, depth_m, valid = (
            values[index].to(self._device) for values in (self._frames, self._depth_m, self._valid)
        )
        frames, depth_m, valid = frames.permute(0, 3, 1, 2).float(), depth_m.float().unsqueeze(1), valid.unsqueeze(1)
        chance = torch.Generator().manual_seed(int(np.random.default_rng([self._seed, step, 1]).integers(2**62)))
        return Batch(tuple(self.names[i] for i in picked), *augmented(frames, depth_m, valid, how, chance))


@dataclass(frozen=True, eq=False)
class Data:
    """Everything that a run takes from a data set."""

    train: FrameArrays  # of `shrunk_contract`'s size
    judged: FrameArrays  # what checkpoints are chosen on: at most 300 frames, spread evenly
    heldout: FrameArrays  # what a checkpoint carries
    contract: Contract  # of the frames as the data set gives them
    filler_frames: npt.NDArray[np.uint8]  # (K, H, W, 3): training frames where fewer than 64 are held out
    rendered: bool | None = None  # whether the weights, their start included, see rendered scenes only; None: unknown


def load_data(root: Path, recipe: Recipe, most: int | None = None) -> Data:
    """Read a data set for a recipe's model. Frames of its holdout are judged on and not trained on.

    most: read so many training frames and not more; as many of the others. None: all.

    Raises BadInputError when there is too little, or the held-out depth hardly varies.
    """
    first, *others = splits_of(root)
    if not others:
        raise BadInputError(f"{root}: has only {first}; a held-out split is also needed: mde-data split")
    split = "val" if "val" in others else others[-1]
    train, held = open_split(root, first), open_split(root, split)
    judged = held
    if recipe.holdout:
        block = _block(train, recipe.holdout)
        judged, train = train.picked(block), train.picked([i for i in range(len(train)) if i not in block])
    elif split != "val":
        train, judged = _held_out_of(train, split)
    heldout = load_arrays(held.picked(evenly_spaced(len(held[:most]), NUM_HELDOUT)), "float16")
    _, height_px, width_px, _ = heldout.frames.shape
    contract = contract_of(recipe.model, height_px, width_px, recipe.model_options)
    _check_variation(f"{root}: the depth of {split}", heldout, contract.from_network)
    trained = load_arrays(train[:most], "float16", change=shrinking(contract))
    judged = judged.picked(evenly_spaced(len(judged[:most]), NUM_JUDGED))
    return Data(
        trained,
        load_arrays(judged, "float16"),
        heldout,
        contract,
        _filler(train[:most], len(heldout)),
        (root / MARKER).is_file(),
    )


def _check_variation(what: str, heldout: FrameArrays, from_network: FromNetwork) -> None:
    """Raise BadInputError for depth that hardly varies within the model's range: a constant would do as well."""
    measured_m = heldout.depth_m[heldout.valid].clip(from_network.near_m, from_network.far_m)
    std_m = float(measured_m.std(dtype=np.float64)) if measured_m.size else 0.0
    if std_m < LEAST_VARIATION * from_network.span_m:
        raise BadInputError(
            f"{what} varies by {std_m:.2g} m within the model's range of {from_network.near_m:g} to "
            f"{from_network.far_m:g} m; is it in metres? mde-data check suggests a range that fits"
        )


def _filler(train: FrameSet, num_heldout: int) -> npt.NDArray[np.uint8]:
    """Training frames, unaugmented, that bring the held-out ones to what a certificate is made on."""
    num_filler = min(NUM_HELDOUT - num_heldout, len(train))
    if not num_filler:
        return np.empty((0, 0, 0, 3), np.uint8)
    return load_arrays(train.picked(evenly_spaced(len(train), num_filler)), "float16").frames


def _held_out_of(train: FrameSet, test: str) -> tuple[FrameSet, FrameSet]:
    """The training frames without a stretch of them, and the stretch: who chose by `test` could not be tested on it."""
    held_out = blocks_of(train.names, HELD_OUT_SHARE, 1, HELD_OUT_GAP_FRAMES)
    ((block,),) = (held_out.val,)
    judged = held_out.part(train, "val")
    say(
        f"{train.root} has no val, so it is judged on {len(judged)} training frames, {block.first} to {block.last}, "
        "and not on "
        f"{test}; mde-data split chooses other frames"
    )
    return held_out.part(train, train.split), judged


def _block(samples: FrameSet, holdout: str) -> range:
    """Where the frames FIRST..LAST lie."""
    first, _, last = holdout.partition("..")
    found = Block(first, last).place(samples.names)
    if found is None:
        raise BadInputError(
            f"holdout {holdout!r}: no such frames; use FIRST..LAST, from {samples.names[0]} to {samples.names[-1]}"
        )
    return found
