"""The state of a training run, and what one step makes of it.

Weights, their average, the optimizer's state, step, minutes and best score are one dict, so that a resumed run goes on
with the very same losses, from the middle of an epoch too. `loop.py` takes the steps.
"""

import math
import time
from typing import Any

import torch
from torch import Tensor, nn

from mde_runtime.contract import Contract
from mde_train.depth_model import network_input
from mde_train.ema import AveragedNetwork
from mde_train.losses import loss_from_text
from mde_train.recipe import Recipe
from mde_train.schedules import SCHEDULES
from mde_train.shrinking import shrunk_contract
from mde_train.training_data import Batch, TrainingFrames
from mde_train.truth import compared


class Training:
    """A network on its way through a recipe. `step` counts the finished steps, over all resumptions."""

    def __init__(self, network: nn.Module, contract: Contract, recipe: Recipe, frames: TrainingFrames):
        self.network, self.contract, self.recipe, self.frames = network, contract, recipe, frames
        self.contract_of_batches = shrunk_contract(contract)
        self.average = AveragedNetwork(network, recipe.ema_decay) if recipe.ema_decay else None
        self.optimizer = _optimizer(network, recipe)
        self.steps_per_epoch = frames.steps_per_epoch
        self.num_steps = recipe.epochs * self.steps_per_epoch
        self.step = 0
        self.best_score = -math.inf
        self.num_worse = 0  # evaluations since the best one
        self.judged_step = -1  # after which the last of them was
        self._loss = loss_from_text(recipe.loss)
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
    def is_evaluation_due(self) -> bool:
        """Whether the recipe asks for an evaluation after this step, and there was none yet."""
        every = self.recipe.evaluate_every_epochs * self.steps_per_epoch
        return self.step > 0 and self.step % every == 0 and self.judged_step != self.step

    @property
    def is_out_of_patience(self) -> bool:
        """Whether there were more evaluations without a better result than the recipe allows."""
        return self.recipe.patience is not None and self.num_worse > self.recipe.patience

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do. Time that ran out during a Ctrl-C leaves one step, which is judged."""
        is_judged = self.judged_step == self.step or self.step == self.num_steps
        return (self.progress >= 1.0 and is_judged) or self.is_out_of_patience

    def start(self, device: torch.device) -> None:
        """Move everything to a device, and start the clock."""
        self.network.to(device)
        if self.average:
            self.average.network.to(device)
        self.optimizer.load_state_dict(self.optimizer.state_dict())  # which moves it to where the weights are now
        self.frames.to(device)
        self._started_s = time.perf_counter()

    def set_pace(self, progress: float) -> None:
        """Set the learning rate and beta1 of the next step."""
        pace = SCHEDULES[self.recipe.schedule](self.step, progress)
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = self.recipe.lr * pace.lr_factor, (pace.beta1, group["betas"][1])

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The recipe's loss for a batch, float32. network: ours, or what several devices have wrapped it in."""
        output = network(self.prepared(batch))
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

    def count_step(self) -> None:
        """Count the step that the optimizer has made, and move the average."""
        self.step += 1
        if self.average:
            self.average.follow(self.network, self.step)

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
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what `saved` gave."""
        self.step, self._seconds_before = saved["step"], saved["seconds"]
        self.best_score, self.num_worse = saved["best_score"], saved["num_worse"]
        self.judged_step = saved.get("judged_step", self.step)  # files of older versions do not say
        self.network.load_state_dict(saved["network"])
        if self.average:
            self.average.network.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam or AdamW over what is trained. No decay on one-dimensional parameters with AdamW: biases, norms."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(trained, recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, recipe.lr, fused=True)
