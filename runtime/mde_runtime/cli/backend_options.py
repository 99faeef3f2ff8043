"""The options that say what a bundle runs on, for every command that runs one."""

import click

from mde_runtime.backends import LISTED
from mde_runtime.command import OneOf
from mde_runtime.precision import AUTO, PRECISIONS

BACKEND = click.option(
    "--backend",
    type=OneOf((AUTO, *LISTED)),
    metavar="NAME",
    default=AUTO,
    show_default=True,
    help=f"auto: the fastest verified backend that mde-bench measured here, else the first in a fixed order. Or one "
    f"of: {', '.join(LISTED)}.",
)
PRECISION = click.option(
    "--precision",
    type=OneOf((AUTO, *PRECISIONS)),
    default=AUTO,
    show_default=True,
    help="auto: the fastest one verified here.",
)
