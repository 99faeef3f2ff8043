"""A training run as Lightning sees it: one step after another, each a function of the recipe, the data and the step.

Lightning brings devices, precision and the optimizer's call. What a run is made of (weights, their
average, the optimizer, step, minutes, best score) is one dict, so that a resumed run goes on with the very same losses,
from the middle of an epoch too.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor, nn

from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError
from mde_train.average import AveragedNetwork
from mde_train.depth_model import network_input
from mde_train.losses import loss_from_text
from mde_train.recipe import Recipe
from mde_train.schedules import SCHEDULES
from mde_train.shrinking import shrunk_contract
from mde_train.training_data import Batch, TrainingFrames
from mde_train.truth import compared


class Training(LightningModule):
    """Trains a network by a recipe. `step` counts the finished steps of the whole run, over all resumptions."""

    def __init__(self, network: nn.Module, contract: Contract, recipe: Recipe, frames: TrainingFrames):
        super().__init__()
        self.network, self.contract, self.recipe = network, contract, recipe
        self.contract_of_batches = shrunk_contract(contract)
        self.average = AveragedNetwork(network, recipe.ema_decay) if recipe.ema_decay else None
        self.steps_per_epoch = frames.steps_per_epoch
        self.num_steps = recipe.epochs * self.steps_per_epoch
        self.step = 0
        self.best_score = -math.inf
        self.num_worse = 0  # evaluations since the best one
        self.judged_step = -1  # after which the last of them was
        self.last_batch: Batch | None = None
        self._frames, self._loss = frames, loss_from_text(recipe.loss)
        self._saved_optimizer: dict[str, Any] | None = None
        self._seconds_before, self._started_s = 0.0, time.perf_counter()

    @property
    def judged_network(self) -> nn.Module:
        """What is judged and kept: the average of the weights, where the recipe asks for one."""
        return self.average.network if self.average else self.network

    @property
    def elapsed_s(self) -> float:
        """How long the run has taken, over all resumptions."""
        return self._seconds_before + time.perf_counter() - self._started_s

    @property
    def progress(self) -> float:
        """How much of the run is done, 0 to 1: by steps or by the time that the recipe allows."""
        by_time = self.elapsed_s / (60 * self.recipe.max_minutes) if self.recipe.max_minutes else 0.0
        return min(1.0, max(self.step / self.num_steps, by_time))

    @property
    def is_out_of_patience(self) -> bool:
        """Whether there were more evaluations without a better result than the recipe allows."""
        return self.recipe.patience is not None and self.num_worse > self.recipe.patience

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do. Time that ran out during a Ctrl-C leaves one step, which is judged."""
        is_judged = self.judged_step == self.step or self.step == self.num_steps
        return (self.progress >= 1.0 and is_judged) or self.is_out_of_patience

    def train_dataloader(self) -> "Steps":
        """The steps that are left; `training_step` makes the batch, on the device."""
        return Steps(self.num_steps, lambda: self.step)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam or AdamW over what is trained. No decay on one-dimensional parameters with AdamW: biases, norms."""
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        if self.recipe.optimizer == "adam":
            return torch.optim.Adam(trained, self.recipe.lr, weight_decay=self.recipe.weight_decay, fused=True)
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.recipe.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, self.recipe.lr, fused=True)

    def on_fit_start(self) -> None:
        """Move what Lightning does not know of, and start the clock."""
        self._frames.to(self.device)
        if self.average:
            self.average.network.to(self.device)
        self._started_s = time.perf_counter()

    def on_train_batch_start(self, batch: int, batch_idx: int) -> None:  # noqa: ARG002  # Lightning's signature
        """Set the learning rate and beta1 of this step."""
        progress = self.trainer.strategy.broadcast(self.progress)  # clocks differ; learning rates must not
        pace = SCHEDULES[self.recipe.schedule](self.step, progress)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"], group["betas"] = self.recipe.lr * pace.lr_factor, (pace.beta1, group["betas"][1])

    def training_step(self, batch: int, batch_idx: int) -> STEP_OUTPUT:  # noqa: ARG002  # Lightning's signature
        """The loss of the step numbered `batch`. Raises BadInputError, with the frames' names, when it is no number."""
        samples = self._frames.batch(batch, self.recipe.augment).part(self.global_rank, self.trainer.world_size)
        loss = self.loss(samples)
        if not math.isfinite(loss.item()):
            raise BadInputError(
                f"the loss is {loss.item()} at step {batch}, frames {', '.join(samples.names)}; look at them with "
                f"mde-data check, or lower the learning rate: --set lr={self.recipe.lr / 3:.1g}"
            )
        self.last_batch = samples
        self.log("loss", loss, prog_bar=True, logger=False, batch_size=len(samples.names))
        return loss

    def loss(self, batch: Batch) -> Tensor:
        """The recipe's loss for a batch, float32."""
        output = self.network(self.prepared(batch))
        with torch.autocast(output.device.type, enabled=False):
            mask_sky = self.recipe.sky == "mask"
            return self._loss(
                *compared(output.float(), batch.depth_m, batch.valid, self.contract_of_batches, mask_sky=mask_sky)
            )

    def prepared(self, batch: Batch) -> Tensor:
        """The batch's frames as the network takes them."""
        frames = batch.frames if self.contract.source.colour == "rgb" else batch.frames.flip(1)
        input_N3hw = network_input(frames.permute(0, 2, 3, 1), self.contract_of_batches)
        return input_N3hw.contiguous(memory_format=torch.channels_last)

    def configure_gradient_clipping(self, *args: Any, **extra: Any) -> None:  # noqa: ARG002  # Any: Lightning's signature
        """Bound the gradient's norm. Not by Lightning, which takes a fused optimizer in bf16 for one that cannot."""
        if self.recipe.clip_gradient:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_gradient)

    def optimizer_step(self, *args: Any, **extra: Any) -> None:  # Any: Lightning's signature, passed on
        """Step, count it and move the average; end a run whose time is over."""
        super().optimizer_step(*args, **extra)
        self.step += 1
        if self.average:
            self.average.follow(self.network, self.step)
        if self.progress >= 1.0:
            self.trainer.should_stop = True

    def saved(self) -> dict[str, Any]:
        """Everything that the next step depends on: tensors, text and numbers."""
        return {
            "step": self.step,
            "seconds": self.elapsed_s,
            "best_score": self.best_score,
            "num_worse": self.num_worse,
            "judged_step": self.judged_step,
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict() if self.average else None,
            "optimizer": self.trainer.optimizers[0].state_dict(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what `saved` gave; the optimizer's part is taken up when the fit starts."""
        self.step, self._seconds_before = saved["step"], saved["seconds"]
        self.best_score, self.num_worse = saved["best_score"], saved["num_worse"]
        self.judged_step = saved.get("judged_step", self.step)  # files of older versions do not say
        self.network.load_state_dict(saved["network"])
        if self.average:
            self.average.network.load_state_dict(saved["average"])
        self._saved_optimizer = saved["optimizer"]

    def on_train_start(self) -> None:
        """Give the optimizer its state back."""
        if self._saved_optimizer is not None:
            self.trainer.optimizers[0].load_state_dict(self._saved_optimizer)
            self._saved_optimizer = None


class Steps:
    """The numbers of the steps that are left."""

    def __init__(self, num_steps: int, finished: Callable[[], int]):
        self._num_steps, self._finished = num_steps, finished

    def __len__(self) -> int:
        return self._num_steps - self._finished()

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._finished(), self._num_steps))
