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
    help=f"auto: the first verified here, in mde-bench's order, else a fixed one. Or one of: {', '.join(LISTED)}.",
)
PRECISION = click.option(
    "--precision",
    type=OneOf((AUTO, *PRECISIONS)),
    default=AUTO,
    show_default=True,
    help="auto: the fastest that was verified here.",
)
