"""The files of a run: curves, pictures, judgements and checkpoints."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mde_runtime import files, records
from mde_runtime.command import say
from mde_runtime.progress import progress, progress_of_time
from mde_train.checkpoint import Checkpoint, without_frames, write_checkpoint
from mde_train.curves import Curves
from mde_train.depth_model import metres, on_frame
from mde_train.evaluation import evaluate, score_of
from mde_train.pictures import panel
from mde_train.training import Training
from mde_train.training_data import Batch, Data
from mde_train.truth import placed_truth

BEST, LAST = "best.ckpt", "last.ckpt"
WEIGHTS = "weights.ckpt"  # the best without a picture in it: to share
SAVE_EVERY_S = 300.0  # what a power cut may cost


@contextmanager
def observing(training: Training, data: Data, run: Path) -> Iterator["Observer"]:
    """Open a run's curves and show its progress; what was written stays, whatever ends the block."""
    curves = Curves(run, training.step)
    try:
        with _shown(training) as advance:
            yield Observer(training, data, run, curves, advance)
    finally:
        curves.close()


@contextmanager
def _shown(training: Training) -> Iterator[Callable[[], None]]:
    """The run's progress: in minutes where these end it, else in steps."""
    if (minutes := training.recipe.max_minutes) is None:
        with progress("training", training.num_steps - training.step) as advance:
            yield advance
        return
    with progress_of_time("training", minutes) as moved:
        yield lambda: moved(training.elapsed_s / 60)


class Observer:
    """Watches a `Training` and writes down what comes of it."""

    def __init__(self, training: Training, data: Data, run: Path, curves: Curves, advance: Callable[[], None]):
        self._training, self._data, self._run = training, data, run
        self._curves, self._advance = curves, advance
        self._saved_s = time.perf_counter()

    def after_step(self, batch: Batch, loss: float, *, is_interrupted: bool) -> None:
        """Write what is due. A run that is over does not come back to be judged, so no Ctrl-C keeps it from that."""
        training = self._training
        self._advance()
        self._add({"loss": loss, "lr": training.optimizer.param_groups[0]["lr"]})
        if training.step % training.recipe.picture_every_steps == 0:
            self._draw(batch)
        if training.progress >= 1.0 or (training.is_evaluation_due and not is_interrupted):
            self.judge()
        elif time.perf_counter() - self._saved_s > SAVE_EVERY_S:
            self.save()

    def judge(self) -> None:
        """Judge the network, keep it where it is the best so far, and save."""
        training = self._training
        recipe = training.recipe
        values = evaluate(training.judged_network, training.contract, self._data.judged, recipe.protocol).values
        training.judged_step = training.step
        self._add({f"val_{name}": value for name, value in values.items()})
        figures = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        epoch = training.step / training.steps_per_epoch
        say(f"step {training.step}, epoch {epoch:.1f}, {training.elapsed_s / 60:.1f} min: {figures}")
        score = score_of(values, recipe.best_by)
        training.num_worse += 1
        if score > training.best_score:
            training.best_score, training.num_worse = score, 0
            best = self._checkpoint()
            write_checkpoint(self._run / BEST, best)
            write_checkpoint(self._run / WEIGHTS, without_frames(best))
        if training.is_out_of_patience:
            say(f"no better result in {training.num_worse} evaluations: training ends")
        self.save()

    def save(self) -> None:
        """Write what `--resume` goes on from."""
        write_checkpoint(self._run / LAST, self._checkpoint(), self._training.saved())
        self._saved_s = time.perf_counter()

    def _add(self, figures: dict[str, float]) -> None:
        self._curves.add(self._training.step, self._training.elapsed_s / 60, figures)

    @torch.no_grad()
    def _draw(self, batch: Batch) -> None:
        """The first frame of the batch that was just trained on."""
        training = self._training
        one, network = batch.part(0, len(batch.names)), training.judged_network
        was_training = network.training
        network.eval()
        contract = training.contract_of_batches
        from_network = contract.from_network
        depth_m = on_frame(metres(network(training.prepared(one)).float(), from_network), contract)
        network.train(was_training)
        truth_m, _ = placed_truth(one.depth_m, one.valid, contract, mask_sky=False)
        height, width = depth_m.shape[-2:]
        frame = Image.fromarray(one.frames[0].permute(1, 2, 0).byte().cpu().numpy()).resize((width, height))
        picture = panel(np.asarray(frame), truth_m[0, 0].cpu().numpy(), depth_m[0, 0].cpu().numpy(), from_network)
        self._curves.add_picture(training.step, picture)
        with files.replacing(self._run / "pictures" / f"{training.step:06d}.png") as draft:
            Image.fromarray(picture).save(draft)

    def _checkpoint(self) -> Checkpoint:
        training, held = self._training, self._data.heldout
        depth_m = np.where(held.valid, held.depth_m, 0.0).astype(np.float32)
        return Checkpoint(
            training.judged_network,
            training.recipe.model,
            training.contract,
            records.to_json(training.recipe),
            self._data.train.sha256,
            held.frames,
            depth_m,
            training.recipe.model_options,
            self._data.filler_frames,
            rendered=self._data.rendered,
        )
