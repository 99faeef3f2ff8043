"""`lab-train`: mde-train, with the laboratory's loss and networks beside the product's."""

import os

from mde_train.cli import train

NETWORKS = {"fast-bins": "lab.ideas.bins", "fast-finer": "lab.ideas.finer"}


def register() -> None:
    """Add the laboratory's lines to the product's tables."""
    from lab.ideas.log_l1 import log_l1
    from mde_train.losses import LOSSES
    from mde_train.models import MODELS

    LOSSES["log-l1"] = log_l1
    MODELS.update(NETWORKS)


def main(prog_name: str) -> None:
    """Train; the options are those of mde-train."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as mde-train, before torch loads
    register()
    train.main(prog_name=prog_name)
