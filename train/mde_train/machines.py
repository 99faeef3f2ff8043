"""The devices and processes of a training: how many there can be, and how one learns that another is gone."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping

from mde_runtime.errors import MachineError, UsageError, one_line

PLACE = re.compile(r"^\[\S+\] ")  # in gloo's own source, before its words


def check_machines(num_devices: int, num_nodes: int, torchrun: Mapping[str, str] = os.environ) -> None:
    """Raise UsageError where this machine has fewer devices, or nobody started the command on the other machines.

    torchrun: the environment, where torchrun says how many processes it started.
    """
    is_started = "TORCHELASTIC_RUN_ID" in torchrun
    if num_nodes > 1 and not is_started:
        raise UsageError(
            f"--num-nodes {num_nodes}: the other processes would not be started; start the command with torchrun on "
            "each machine (see --help)"
        )
    num_here, kind = _devices_here()
    if num_devices > num_here:
        raise UsageError(f"--devices {num_devices}: this machine has {num_here} {kind}; use {num_here} or fewer")
    if is_started:
        started = int(torchrun["LOCAL_WORLD_SIZE"]), int(torchrun["GROUP_WORLD_SIZE"])
        if started != (num_devices, num_nodes):
            raise UsageError(
                f"--devices {num_devices} --num-nodes {num_nodes}: torchrun started {started[0]} processes on "
                f"{started[1]} machines; give --devices {started[0]} --num-nodes {started[1]}"
            )


def _devices_here() -> tuple[int, str]:
    """The GPUs of this machine, or the cores of a CPU where it has none."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.device_count(), "GPUs"
    return os.cpu_count() or 1, "CPU cores"


@contextlib.contextmanager
def naming_lost_processes() -> Iterator[None]:
    """Raise MachineError where another process of this training is gone, or never came."""
    import torch

    try:
        yield
    except RuntimeError as error:
        # gloo, which connects CPUs, has no exception of its own
        if not isinstance(error, torch.distributed.DistError) and "gloo" not in str(error):
            raise
        first_sentence, _, _ = PLACE.sub("", str(error)).partition(". ")
        raise MachineError(
            f"another process of this training ended ({one_line(first_sentence)}); read its output, then continue "
            "with --resume"
        ) from error
