"""The checkpoint `model.ckpt`: a trained network with its contract, its recipe and 64 held-out frames with depth.

One file that `torch.load(weights_only=True)` reads: tensors, text and numbers, nothing that can run. `last.ckpt` of a
training run also holds what `--resume` needs, under `training`; readers of the model leave that alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mde_runtime import files, records
from mde_runtime.bundle import read_bundle
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError, MachineError, UsageError, reason_of
from mde_runtime.numbers import shown
from mde_train import torch_files
from mde_train.data.split import NUM_HELDOUT
from mde_train.models import MODELS, build_model, options_of
from mde_train.models import contract_of as model_contract
from mde_train.stored_values import check_fit, check_heldout, contract_of, json_of, text_of

SCHEMA = 1
STATE_KEYS = ("network", "state_dict", "model_state_dict", "model")  # ours, then what published checkpoints use
# What wrappers put before every key: DataParallel, a Lightning module, torch.compile and common names of an attribute.
WRAPPERS = ("module.", "model.", "_orig_mod.", "network.", "net.")
RANGE = ("near_m", "far_m")  # options of the models whose range can be chosen
WEIGHTS = "weights"  # the option of a model that downloads or opens a file: never stored, since the weights are here


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained model, read or to be written."""

    network: nn.Module  # in eval mode when it was read
    model: str  # a name of `mde_train.models.MODELS`
    contract: Contract
    recipe: Any  # JSON: it only travels here, its room reads it
    data_sha256: str | None  # of the training split, as `FrameSet.sha256`
    heldout_frames: npt.NDArray[np.uint8]  # (64, H, W, 3), not trained on; fewer where the data set holds fewer out
    heldout_depth_m: npt.NDArray[np.float32]  # (64, H, W), true depth, 0 where nothing was measured
    model_options: dict[str, Any] = field(default_factory=dict)  # JSON: arguments of the model's `build`
    # (K, H, W, 3): training frames, where fewer than 64 are held out; an export is judged on them as well
    filler_frames: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 0, 0, 3), np.uint8))
    sha256: str = ""  # of the file, when it was read
    rendered: bool | None = None  # whether its weights have seen rendered scenes only; None: unknown


def write_checkpoint(path: Path, checkpoint: Checkpoint, training: Mapping[str, Any] | None = None) -> None:
    """Write a checkpoint, whole or not at all. `training`: what a run resumes from; tensors, text and numbers."""
    content = {
        "mde_checkpoint": SCHEMA,
        "model": checkpoint.model,
        "model_options": json.dumps({key: value for key, value in checkpoint.model_options.items() if key != WEIGHTS}),
        "contract": records.dumps(checkpoint.contract),
        "recipe": records.dumps(checkpoint.recipe),
        "data_sha256": checkpoint.data_sha256,
        "heldout_frames": torch.from_numpy(np.ascontiguousarray(checkpoint.heldout_frames)),
        "heldout_depth_m": torch.from_numpy(np.ascontiguousarray(checkpoint.heldout_depth_m, np.float32)),
        **_filler(checkpoint),
        "rendered": checkpoint.rendered,
        "network": {name: value.detach().cpu() for name, value in checkpoint.network.state_dict().items()},
    }
    if training is not None:
        content["training"] = dict(training)
    try:
        with files.replacing(path) as draft:
            torch.save(content, draft)
    except RuntimeError as error:  # torch writes without Python: a full disk is no OSError there
        raise MachineError(f"{path}: cannot be written; is the disk full? Free some space, then --resume") from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; its network is in eval mode. Raises BadInputError when the file is not a whole one of ours."""
    content = _load(path)
    schema = content.get("mde_checkpoint")
    if type(schema) is not int or schema != SCHEMA:
        raise BadInputError(
            f"{path}: not a checkpoint of mde-train (schema {SCHEMA}); to start from its weights: "
            f"mde-train --init {path.name}"
        )
    model = text_of(path, content, "model")
    if model not in MODELS:
        raise BadInputError(f"{path}: model {shown(model)} is unknown; the models are {', '.join(MODELS)}")
    options = json_of(path, content, "model_options", dict[str, Any])
    recipe = json_of(path, content, "recipe", Any)
    contract = contract_of(path, content)
    parts = ("data_sha256", "heldout_frames", "heldout_depth_m", "network")
    if missing := [part for part in parts if part not in content]:
        raise BadInputError(f"{path}: damaged checkpoint, without {missing[0]!r}; copy it again")
    data_sha256 = None if content["data_sha256"] is None else text_of(path, content, "data_sha256")
    frames, depth_m = content["heldout_frames"], content["heldout_depth_m"]
    filler = content.get("filler_frames", torch.empty((0, 0, 0, 3), dtype=torch.uint8))
    check_heldout(path, frames, depth_m, filler, contract, NUM_HELDOUT)
    network = _network(path, model, options, content["network"])
    return Checkpoint(
        network.eval(),
        model,
        contract,
        recipe,
        data_sha256,
        frames.numpy(),
        depth_m.numpy(),
        options,
        filler.numpy(),
        files.sha256_of_file(path),
        _rendered(path, content),
    )


def rendered_of(path: Path) -> bool | None:
    """Whether a file's weights have seen rendered scenes only; None where it does not say, as a plain state dict."""
    return _rendered(path, _load(path))


def _rendered(path: Path, content: Mapping[str, Any]) -> bool | None:
    rendered = content.get("rendered") if "mde_checkpoint" in content else None
    if rendered is not None and not isinstance(rendered, bool):
        raise BadInputError(f"{path}: damaged checkpoint, 'rendered' is neither true, false nor null; copy it again")
    return rendered


def _filler(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    frames = checkpoint.filler_frames
    return {"filler_frames": torch.from_numpy(np.ascontiguousarray(frames))} if len(frames) else {}


def without_frames(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint without frames and depth, which may be private: its weights can be given away."""
    none = slice(0, 0)
    return replace(
        checkpoint,
        heldout_frames=checkpoint.heldout_frames[none],
        heldout_depth_m=checkpoint.heldout_depth_m[none],
        filler_frames=checkpoint.filler_frames[none],
    )


def read_training(path: Path) -> dict[str, Any]:
    """What `--resume` needs, from `last.ckpt`. Raises BadInputError when the file holds none."""
    content = _load(path)
    if not isinstance(content.get("training"), dict):
        raise BadInputError(f"{path}: holds no state of a training run; resume from a run's last.ckpt")
    return cast(dict[str, Any], content["training"])  # JSON-like: its keys are `Training`'s business


def load_weights(network: nn.Module, path: Path) -> str:
    """Start `network` from a file: a checkpoint of ours, or a plain state dict with the network's own keys.

    Gives the prefix that was stripped from every key, such as `module.` of DataParallel; empty where there was none.
    Raises BadInputError that names the first key or shape that does not fit.
    """
    content = _load(path)
    while inner := [content[key] for key in STATE_KEYS if isinstance(content.get(key), Mapping)]:
        content = inner[0]
    state, prefix = _without_prefix(content, network.state_dict())
    _fill(network, state, path)
    return prefix


def _without_prefix(state: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The state without what wrappers put before every key, as far as the network's own keys do not begin so."""
    stripped = ""
    while state and not any(name in own for name in state):
        prefix = next((prefix for prefix in WRAPPERS if all(str(name).startswith(prefix) for name in state)), None)
        if prefix is None:
            break
        state, stripped = {name[len(prefix) :]: value for name, value in state.items()}, stripped + prefix
    return state, stripped


def check_same_model(path: Path, model: str, options: Mapping[str, Any]) -> str:
    """Raise BadInputError when a file is a checkpoint of ours, but of another model, other options or another contract.

    Its weights might fit all the same, and mean other metres. The range may differ: weights give depth as a share of
    it, so they are a start for any. Gives a line that says so, empty where the ranges are the same.
    """
    content = _load(path)
    if "mde_checkpoint" not in content:
        return ""
    theirs = text_of(path, content, "model")
    their_options = json_of(path, content, "model_options", dict[str, Any])
    contract = contract_of(path, content)
    if theirs != model:
        raise BadInputError(f"{path}: a {theirs}, and the recipe trains a {model}; use a recipe for {theirs}")
    have, want = options_of(model, their_options), options_of(model, options)
    if differing := [name for name in want if name not in RANGE and have.get(name) != want[name]]:
        name = differing[0]
        raise BadInputError(
            f"{path}: its {name} is {have.get(name)}, the recipe's is {want[name]}; "
            f"--set model_options.{name}={json.dumps(have.get(name))}"
        )
    if contract != model_contract(model, contract.source.height_px, contract.source.width_px, their_options):
        raise BadInputError(
            f"{path}: a {model} with a different contract; train with the version of mde-train that wrote it"
        )
    ours, its = ([of.get(name) for name in RANGE] for of in (want, have))
    if ours == its:
        return ""
    return f"{path.name} is of {its[0]:g} to {its[1]:g} m, this run of {ours[0]:g} to {ours[1]:g} m"


def _load(path: Path) -> dict[str, Any]:
    try:
        content = torch_files.load(path)
    except BadInputError as error:
        if _is_bundle(path):
            raise BadInputError(
                f"{path}: a bundle, which holds graphs and no weights to train from; pass the checkpoint it was made "
                "from"
            ) from error
        raise
    if not isinstance(content, Mapping):
        raise BadInputError(f"{path}: holds {type(content).__name__}, not a checkpoint or a state dict")
    if "mde_checkpoint" in content and not torch_files.has_checksums(path):
        raise BadInputError(f"{path}: a checkpoint without checksums, which mde-train never writes; copy it again")
    return dict(content)


def _is_bundle(path: Path) -> bool:
    try:
        read_bundle(path)
    except BadInputError:
        return False
    return True


def _network(path: Path, model: str, options: dict[str, Any], state: object) -> nn.Module:
    """The model with the file's weights. Its options are a stranger's: no memory is taken before the weights fit."""
    if WEIGHTS in options:
        raise BadInputError(
            f"{path}: its option {WEIGHTS!r} would download or open another file; to start from this file's weights: "
            f"mde-train --init {path.name}"
        )
    if not isinstance(state, Mapping):
        raise BadInputError(f"{path}: has no named weights where they are expected; copy it again")
    try:
        with torch.device("meta"):
            outline = build_model(model, **options)
    except (RuntimeError, UsageError, ValueError, TypeError, ArithmeticError) as error:
        raise BadInputError(
            f"{path}: its options do not exist for model {model} ({reason_of(error)}); copy it again"
        ) from error
    check_fit(path, state, outline.state_dict())
    network = build_model(model, **options)
    _fill(network, state, path)
    return network


def _fill(network: nn.Module, state: Mapping[str, Any], path: Path) -> None:
    check_fit(path, state, network.state_dict())
    try:
        network.load_state_dict(state)
    except RuntimeError as error:  # of number types that torch cannot convert
        raise BadInputError(f"{path}: its weights cannot be read ({reason_of(error)}); copy it again") from error
