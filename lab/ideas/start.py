"""The weights that the laboratory's networks begin from."""

from pathlib import Path
from typing import TypeVar

from torch import nn

from mde_train.checkpoint import read_checkpoint

Network = TypeVar("Network", bound=nn.Module)


def begin_from(weights: str | Path, network: Network) -> Network:
    """The network with the weights of a checkpoint wherever a name of its own is there; `none` leaves it as it is."""
    if str(weights) != "none":
        network.load_state_dict(read_checkpoint(Path(weights)).network.state_dict(), strict=False)
    return network
