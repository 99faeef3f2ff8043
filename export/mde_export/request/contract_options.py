"""The options of `mde-export` that say a contract, and the form of their values. Light: --help loads this."""

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import click

from mde_export.request.choices import ASSUMED
from mde_export.request.described import Described, as_typed, option_of
from mde_export.request.normalisations import NORMALISATIONS
from mde_runtime.command import OneOf, Real, Several, Whole
from mde_runtime.contract import MAX_FAR_M, MAX_SIDE_PX, ColourOrder, Distance, Interpolation, Kind, Resize

SIZE = Several(Whole(1, MAX_SIDE_PX), "x", "480x640")  # height, width; px
COLOURS = Several(Real(), ",", "0.5,0.5,0.5")  # red, green, blue
RANGE = Several(Real(0, MAX_FAR_M), ":", "0:20")  # near, far; m


class _Mean(click.ParamType):  # type: ignore[type-arg]  # click before 8.4 takes none
    """The name of a normalisation, or three numbers."""

    name = "mean"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # Any: click's own
        """The name as it is, or the numbers. Ends the command as wrong usage for anything else."""
        if value in NORMALISATIONS:
            return value
        if isinstance(value, str) and "," not in value:
            self.fail(f"{value!r} is not one of {', '.join(NORMALISATIONS)}, or R,G,B", param, ctx)
        return COLOURS.convert(value, param, ctx)


def _assumed(name: str) -> str:
    return f"  [default: {as_typed(name, ASSUMED[name]).removeprefix(f'{option_of(name)} ').lstrip('-')}]"


# In place of a contract.json. `pad` is left out: it needs the multiples of a side, which only the file can say.
CONTRACT_OPTIONS = (
    click.option(
        "--network-size", type=SIZE, metavar="HxW", help="Size of the network's input, px.  [default: the file's]"
    ),
    click.option(
        "--resize",
        type=OneOf([name for name in get_args(Resize) if name != "pad"]),
        help="How frames are resized to the network's size; needed if their aspect ratios differ.",
    ),
    click.option(
        "--mean",
        type=_Mean(),
        metavar=f"{'|'.join(NORMALISATIONS)}|R,G,B",
        help="Mean of the colours, from 0 to 1; a name also sets --std. "
        + " ".join(f"{name}: {row.help}." for name, row in NORMALISATIONS.items()),
    ),
    click.option("--std", type=COLOURS, metavar="R,G,B", help="Standard deviation of the colours, from 0 to 1."),
    click.option("--kind", type=OneOf(get_args(Kind)), help="Quantity that the network outputs."),
    click.option("--range", "range_m", type=RANGE, metavar="NEAR:FAR", help="Depth range to clip to, metres."),
    click.option(
        "--colour",
        type=OneOf(get_args(ColourOrder)),
        help=f"Channel order of the frames.{_assumed('colour')}",
    ),
    click.option(
        "--interpolation",
        type=OneOf(get_args(Interpolation)),
        help="Resampling filter, to the network and back. area is OpenCV's INTER_AREA: it needs --antialias, and the "
        f"way back is then bilinear.{_assumed('interpolation')}",
    ),
    click.option(
        "--antialias/--no-antialias",
        default=None,
        help="Average when shrinking, as Pillow and torchvision do and OpenCV does not." + _assumed("antialias"),
    ),
    click.option(
        "--distance",
        type=OneOf(get_args(Distance)),
        help=f"Measure depth along the optical axis (z) or along the pixel's ray.{_assumed('distance')}",
    ),
)
DESCRIBED = tuple(field.name for field in fields(Described))


def contract_options(run: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options that say a contract, as one argument: `described`, by name."""

    @functools.wraps(run)
    def gathered(**given: object) -> int:
        return run(described={name: given.pop(name) for name in DESCRIBED}, **given)

    return functools.reduce(lambda command, option: option(command), reversed(CONTRACT_OPTIONS), gathered)
