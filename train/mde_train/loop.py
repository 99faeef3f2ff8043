"""The training loop, from the first step to the last, on one device or many.

Lightning's Fabric starts the processes, wraps the network and averages its gradients. Every process takes every step,
on its part of the batch; the first one also judges, writes, and knows when the run is finished.
"""

import logging
import math
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mde_runtime.command import say
from mde_runtime.errors import BadInputError
from mde_train.machines import naming_lost_processes
from mde_train.observer import observing
from mde_train.torchvision_ops import import_torchvision
from mde_train.training import Training
from mde_train.training_data import Batch, Data

import_torchvision()  # before lightning, whose import it repairs

import torch  # noqa: E402
from lightning.fabric import Fabric  # noqa: E402
from lightning.fabric.utilities.rank_zero import rank_zero_only  # noqa: E402


@dataclass(frozen=True)
class Machines:
    """What a run is spread over; more than one process is started by torchrun, or here on a single machine."""

    num_devices: int = 1  # on each machine
    num_nodes: int = 1


ONE = Machines()


def train(training: Training, data: Data, run: Path, machines: Machines = ONE) -> None:
    """Take the steps that are left, and write to `run` what comes of them.

    Raises KeyboardInterrupt after a Ctrl-C, once the step that it came in is finished and saved, MachineError where
    another process of the training is gone.
    """
    recipe = training.recipe
    with (
        naming_lost_processes(),
        _launched(machines) as fabric,
        _awaiting_ctrl_c() as is_pressed,
        observing(training, data, run) if fabric.is_global_zero else nullcontext() as observer,
    ):
        training.start(fabric.device)
        network, optimizer = fabric.setup(training.network, training.optimizer)
        # not by Fabric's precision, which would round the frames to bfloat16 before the network sees them
        autocast = torch.autocast(fabric.device.type, torch.bfloat16, enabled=recipe.precision == "bf16")
        if observer and training.is_evaluation_due:
            observer.judge()  # a Ctrl-C came before it
        is_interrupted = False
        while not is_interrupted and not _in_any_process(fabric, training.is_finished):
            training.set_pace(fabric.broadcast(training.progress))  # clocks differ; learning rates must not
            with autocast:
                batch = training.frames.batch(training.step, recipe.augment)
                batch = batch.part(fabric.global_rank, fabric.world_size)
                loss = training.loss(network, batch)
            _check_finite(loss.item(), batch, training)

            optimizer.zero_grad()
            fabric.backward(loss)
            if recipe.clip_gradient:
                torch.nn.utils.clip_grad_norm_(training.network.parameters(), recipe.clip_gradient)
            optimizer.step()
            training.count_step()

            if observer:
                observer.after_step(batch, loss.item(), is_interrupted=is_pressed())
            is_interrupted = _in_any_process(fabric, is_pressed())
        if is_interrupted and observer:
            observer.save()
    if is_interrupted:
        raise KeyboardInterrupt


def is_first_process() -> bool:
    """Whether this is the process that speaks for all, where there are several."""
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]  # Lightning sets it on the function


@contextmanager
def _launched(machines: Machines) -> Iterator[Fabric]:
    """Fabric on this machine's devices, with a process for each. Where the first one fails, none waits for it."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # Fabric's advertisements come by this name
    warnings.filterwarnings("ignore", module="lightning")  # of what it uses itself
    strategy = "ddp" if machines != ONE else "auto"
    fabric = Fabric(devices=machines.num_devices, num_nodes=machines.num_nodes, strategy=strategy)
    fabric.launch()
    try:
        yield fabric
    except BaseException:
        for process in getattr(fabric.strategy.launcher, "procs", ()):  # those that torchrun started are its own
            process.kill()
        raise
    fabric.barrier()  # Fabric ends the first process when another one ended by Ctrl-C: not while it saves


def _in_any_process(fabric: Fabric, decision: bool) -> bool:
    return fabric.strategy.reduce_boolean_decision(decision, all=False)


def _check_finite(loss: float, batch: Batch, training: Training) -> None:
    if not math.isfinite(loss):
        raise BadInputError(
            f"the loss is {loss} at step {training.step}, frames {', '.join(batch.names)}; check them with mde-data "
            f"check, or lower the learning rate: --set lr={training.recipe.lr / 3:.1g}"
        )


@contextmanager
def _awaiting_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Give whether Ctrl-C was pressed, or the process was asked to terminate. The second time it ends at once."""
    was_pressed = False

    def press(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a signal handler's signature
        nonlocal was_pressed
        was_pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # before it is said: the next may come at once
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        say("\nstopping after this step; press Ctrl-C again to stop at once")

    before = {number: signal.signal(number, press) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: was_pressed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
