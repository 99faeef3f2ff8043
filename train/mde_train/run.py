"""A training run from its recipe to its checkpoints."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from mde_runtime import files, records
from mde_runtime.command import say
from mde_runtime.errors import BadInputError, MachineError, UsageError
from mde_runtime.lock import holder, if_free
from mde_train.checkpoint import check_same_model, load_weights, read_checkpoint, read_training, rendered_of
from mde_train.data import protocol_of
from mde_train.data.split import NUM_HELDOUT
from mde_train.evaluation import check_judgeable
from mde_train.loop import ONE, Machines, is_first_process, train
from mde_train.models import build_model
from mde_train.observer import BEST, LAST
from mde_train.recipe import Recipe, with_length, with_protocol
from mde_train.summary import summary
from mde_train.training import Training
from mde_train.training_data import Data, TrainingFrames, load_data

RECIPE_FILE = "recipe.json"
LOCK = "run.lock"  # held by whoever trains there; it stays, and says nothing once nobody holds it
TRIAL = "trial"  # an empty file beside what a trial left: the next run replaces that


def begin(
    recipe: Recipe,
    data_root: Path,
    run: Path,
    *,
    init: Path | None = None,
    weights: str = "none",
    machines: Machines = ONE,
    is_trial: bool = False,
) -> "Finished":
    """Train by a recipe, from the start.

    init: weights to start from, of the whole network. weights: of its encoder, as
    `mde_train.models.parts.encoder_weights` takes them.
    is_trial: two steps, one evaluation and all the files, to see that everything is in place. The next run may have the
    same `run`.
    Raises UsageError when `run` holds a run already, another process trains there or random weights would stay frozen,
    KeyboardInterrupt after a Ctrl-C.
    """
    _check_free(run)  # before the data are read, which takes longer
    _check_new(run)
    if weights != "none" and "weights" in recipe.model_options:
        raise UsageError("weights are set by --weights and by --set model_options.weights; use one of them")
    torch.manual_seed(recipe.seed)
    network = build_model(recipe.model, **recipe.model_options, **({} if weights == "none" else {"weights": weights}))
    if not init and {weights, recipe.model_options.get("weights", "none")} == {"none"}:
        _check_all_train(recipe.model, network)
    if init:
        if note := check_same_model(init, recipe.model, recipe.model_options):
            say(note)
        if prefix := load_weights(network, init):
            say(f"{init.name}: its keys begin with {prefix!r}, which was removed")
    if is_trial:
        recipe = replace(recipe, epochs=1, evaluate_every_epochs=1, picture_every_steps=1)
    recipe = with_protocol(recipe, protocol_of(data_root))
    data = load_data(data_root, recipe, most=2 * recipe.batch_size if is_trial else None)
    started = rendered_of(init) if init else {weights, recipe.model_options.get("weights", "none")} == {"none"}
    data = replace(data, rendered=data.rendered and started)
    training = _training(recipe, network, data)
    with _alone_in(run):
        _check_new(run)
        if is_first_process():
            _begin_folder(run, recipe, is_trial=is_trial)
        return _fit(training, data, run, machines)


def go_on(data_root: Path, run: Path, *, settings: Sequence[str] = (), machines: Machines = ONE) -> "Finished":
    """Go on with an interrupted run, by the recipe that it was begun with; else as `begin`.

    settings: what makes it longer or shorter from here on, see `mde_train.recipe.with_length`.
    Raises UsageError when `run` holds none, has passed its new end or another process trains there, BadInputError when
    the data are not those that it was begun with.
    """
    _check_free(run)
    if not (run / LAST).exists():
        raise UsageError(f"{run}: contains no {LAST} to resume from; start with --recipe NAME")
    with _alone_in(run):
        training, data = _restored(data_root, run, settings)
        return _fit(training, data, run, machines)


def _check_new(run: Path) -> None:
    if not (run / TRIAL).exists() and (run / LAST).exists():
        raise UsageError(f"{run}: already holds a run; continue it with --resume, or use another --out")


def _check_free(run: Path) -> None:
    if (run / LOCK).exists():
        with _alone_in(run):
            pass


@contextlib.contextmanager
def _alone_in(run: Path) -> Iterator[None]:
    """Keep every other training out of a run's folder. The first of several processes does it for all of them.

    Raises UsageError where another training is there.
    """
    if not is_first_process():
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    with if_free(run / LOCK) as is_ours:
        if is_ours is None:
            say(f"{run}: this file system has no locks, so a second training here would not be refused")
        elif not is_ours:
            raise UsageError(f"{run}: {holder(run / LOCK)} is training there; wait until it ends, or use another --out")
        yield


def _begin_folder(run: Path, recipe: Recipe, *, is_trial: bool) -> None:
    """Clear away a trial, and write what stands before the first step."""
    if (run / TRIAL).exists():
        shutil.rmtree(run / "pictures", ignore_errors=True)
        for name in (LAST, BEST, TRIAL):  # the mark last: whoever is killed here can begin again
            (run / name).unlink(missing_ok=True)
    if is_trial:
        files.write_text(run / TRIAL, "")
    files.write_text(run / RECIPE_FILE, records.dumps(recipe))


def _restored(data_root: Path, run: Path, settings: Sequence[str]) -> tuple[Training, Data]:
    """An interrupted run where it stopped, with its new length; see `go_on`."""
    if (run / TRIAL).exists():
        raise UsageError(f"{run}: holds a --fast-dev-run, which cannot be resumed; start with --recipe NAME")
    recipe = records.loads(Recipe, files.read_small(run / RECIPE_FILE), f"{run / RECIPE_FILE}")
    recipe = with_length(recipe, settings)
    data = load_data(data_root, recipe)
    checkpoint = read_checkpoint(run / LAST)
    if checkpoint.data_sha256 != data.train.sha256:
        raise BadInputError(f"{data_root}: not the data that {run} was started with; use that, or start a new run")
    data = replace(data, rendered=checkpoint.rendered)
    training = _training(recipe, checkpoint.network.train(), data)
    training.restore(read_training(run / LAST))
    if settings:
        if training.progress >= 1.0:
            done = f"{training.step / training.steps_per_epoch:.1f} epochs in {training.elapsed_s / 60:.1f} minutes"
            raise UsageError(f"{run}: has already run {done} and cannot end earlier")
        if training.is_out_of_patience:
            raise UsageError(
                f"{run}: ended by its patience, which cannot be changed; start a new run with --set patience=null"
            )
        if is_first_process():
            files.write_text(run / RECIPE_FILE, records.dumps(recipe))
    return training, data


def _training(recipe: Recipe, network: nn.Module, data: Data) -> Training:
    _check_precision(recipe)
    check_judgeable(data.judged, recipe, data.contract.from_network.span_m)
    if ("is_frozen" in recipe.model_options or _num_frozen(network)) and is_first_process():
        say(f"{recipe.model}: {_frozen_in_words(network)}")
    frames = TrainingFrames(data.train, recipe.batch_size, recipe.seed)
    if (num_filler := len(data.filler_frames)) and is_first_process():
        say(
            f"an export is certified on {NUM_HELDOUT} frames, and {len(data.heldout)} are held out: {num_filler} "
            "training frames go with them, and the certificate states no RMSE to ground truth; pass others with "
            "mde-export --frames"
        )
    return Training(network.to(memory_format=torch.channels_last), data.contract, recipe, frames)  # type: ignore[call-overload]  # torch's stub lacks it


@dataclass(frozen=True, eq=False)
class Finished:
    """A run that is over."""

    run: Path
    training: Training
    data: Data

    @property
    def best(self) -> Path:
        """The best checkpoint."""
        return self.run / BEST

    def summary(self) -> list[str]:
        """The end of the run in lines for a person."""
        return summary(self.run, self.training.recipe, self.data, self.training.steps_per_epoch)


def _fit(training: Training, data: Data, run: Path, machines: Machines) -> Finished:
    if not training.is_finished:
        train(training, data, run, machines)
    return Finished(run, training, data)


def _check_all_train(model: str, network: nn.Module) -> None:
    """Raise UsageError where a part of a network with random weights is frozen: it would stay random."""
    if _num_frozen(network):
        raise UsageError(
            f"{model}: has random weights, and {_frozen_in_words(network)}; load its encoder's with --weights "
            "imagenet or --weights FILE, or train all of it with --set model_options.is_frozen=false"
        )


def _frozen_in_words(network: nn.Module) -> str:
    num_in_all = sum(parameter.numel() for parameter in network.parameters())
    num_frozen = _num_frozen(network)
    return f"{num_frozen:,} of its {num_in_all:,} parameters stay frozen" if num_frozen else "the whole network trains"


def _num_frozen(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters() if not parameter.requires_grad)


def _check_precision(recipe: Recipe) -> None:
    if recipe.precision != "bf16" or torch.cuda.is_available():
        return
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch's
    if not (has_onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported()):  # the question is oneDNN's: macOS has neither
        raise MachineError(
            "precision bf16: this processor has no bf16 instructions, and without them it is several times slower "
            "than fp32; train with --set precision=fp32"
        )
