"""What happens between the steps of a run: curves, pictures, judging, checkpoints, and a stop that loses nothing."""

import signal
import time
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from PIL import Image

from mde_runtime import files, records
from mde_runtime.command import say
from mde_train.checkpoint import Checkpoint, write_checkpoint
from mde_train.curves import Curves
from mde_train.depth_model import metres, on_frame
from mde_train.evaluation import evaluate
from mde_train.pictures import panel
from mde_train.training import Training
from mde_train.training_data import Data
from mde_train.truth import placed_truth

BEST, LAST = "best.ckpt", "last.ckpt"
SAVE_EVERY_S = 300.0  # what a power cut may cost


class Observer(Callback):
    """Watches a `Training` and writes everything that a run leaves behind. Only the first of several devices writes."""

    def __init__(self, run: Path, data: Data):
        self.interrupted = False
        self._run, self._data = run, data
        self._saved_s = time.perf_counter()
        self._curves: Curves | None = None
        self._previous = signal.getsignal(signal.SIGINT)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the curves; from here on Ctrl-C ends the step that it falls into, and a second one ends at once."""
        training = _as_training(pl_module)
        signal.signal(signal.SIGINT, self._interrupt)
        if trainer.is_global_zero:
            self._curves = Curves(self._run, training.step)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: int,  # noqa: ARG002  # Lightning's signature
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Write what is due after this step."""
        training = _as_training(pl_module)
        stops = trainer.strategy.reduce_boolean_decision(trainer.should_stop or self.interrupted, all=False)
        if trainer.is_global_zero and self._curves:
            self._after_step(training, self._curves, stops, outputs)
        trainer.should_stop = trainer.strategy.reduce_boolean_decision(stops or trainer.should_stop, all=False)

    def _after_step(self, training: Training, curves: Curves, is_last: bool, outputs: STEP_OUTPUT) -> None:
        step, recipe = training.step, training.recipe
        is_over = training.trainer.should_stop  # by its steps or its time, and not by a Ctrl-C alone
        if isinstance(outputs, dict):
            rate = training.trainer.optimizers[0].param_groups[0]["lr"]
            curves.add(step, training.elapsed_s / 60, {"loss": float(outputs["loss"]), "lr": rate})
        if step % recipe.picture_every_steps == 0:
            self._draw(training, curves)
        is_due = is_last or step % (recipe.evaluate_every_epochs * training.steps_per_epoch) == 0
        if is_over or (is_due and not self.interrupted):  # a run that is over does not come back to be judged
            self._judge(training, curves)
        if is_last or training.judged_step == step or time.perf_counter() - self._saved_s > SAVE_EVERY_S:
            write_checkpoint(self._run / LAST, self._checkpoint(training), training.saved())
            self._saved_s = time.perf_counter()

    def _judge(self, training: Training, curves: Curves) -> None:
        recipe = training.recipe
        values = evaluate(training.judged_network, training.contract, self._data.judged, recipe.protocol).values
        training.judged_step = training.step
        curves.add(training.step, training.elapsed_s / 60, {f"val_{name}": value for name, value in values.items()})
        figures = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        epoch = training.step / training.steps_per_epoch
        say(f"step {training.step}, epoch {epoch:.1f}, {training.elapsed_s / 60:.1f} min: {figures}")
        score = -values["rmse_m"] + (values["ssim"] if recipe.best_by == "ssim - rmse_m" else 0.0)
        training.num_worse += 1
        if score > training.best_score:
            training.best_score, training.num_worse = score, 0
            write_checkpoint(self._run / BEST, self._checkpoint(training))
        if training.is_out_of_patience:
            say(f"no better result in {training.num_worse} evaluations: training ends")
            training.trainer.should_stop = True

    @torch.no_grad()
    def _draw(self, training: Training, curves: Curves) -> None:
        """The first frame of the batch that was just trained on."""
        if training.last_batch is None:
            return
        one, network = training.last_batch.part(0, len(training.last_batch.names)), training.judged_network
        was_training = network.training
        network.eval()
        contract = training.contract_of_batches
        wanted = contract.from_network
        depth_m = on_frame(metres(network(training.prepared(one)).float(), wanted), contract)
        network.train(was_training)
        truth_m, _ = placed_truth(one.depth_m, one.valid, contract, mask_sky=False)
        height, width = depth_m.shape[-2:]
        frame = Image.fromarray(one.frames[0].permute(1, 2, 0).byte().cpu().numpy()).resize((width, height))
        picture = panel(np.asarray(frame), truth_m[0, 0].cpu().numpy(), depth_m[0, 0].cpu().numpy(), wanted)
        curves.add_picture(training.step, picture)
        with files.replacing(self._run / "pictures" / f"{training.step:06d}.png") as draft:
            Image.fromarray(picture).save(draft)

    def _checkpoint(self, training: Training) -> Checkpoint:
        held = self._data.heldout
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
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002  # Lightning's
        """Close the curves and give Ctrl-C back its usual meaning."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """As at the end: what was written stays."""
        self._close()

    def _close(self) -> None:
        signal.signal(signal.SIGINT, self._previous)
        if self._curves:
            self._curves.close()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # a signal handler's signature
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # before it is said: the next may come at once
        say("\nstopping after this step; press Ctrl-C again to stop at once")


def _as_training(module: LightningModule) -> Training:
    assert isinstance(module, Training)  # the only module that an Observer is given
    return module
