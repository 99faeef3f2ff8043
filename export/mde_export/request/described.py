"""Options that say a network's contract, in place of a contract.json: as they were typed, and as values."""

from dataclasses import dataclass, fields, replace

from mde_export.request.normalisations import NORMALISATIONS, Colours
from mde_runtime.contract import MAX_LEVEL, ColourOrder, Distance, Interpolation, Kind, Resize
from mde_runtime.errors import UsageError

Size = tuple[int, int]  # height, width; px

SAME = 1e-3  # of a mean or standard deviation: people write three digits


@dataclass(frozen=True)
class Described:
    """What the options say; None is what they do not."""

    network_size: Size | None = None  # of the network's input
    colour: ColourOrder | None = None  # of the camera's frame
    resize: Resize | None = None
    interpolation: Interpolation | None = None  # to the network, and of its map back to the frame
    antialias: bool | None = None
    mean: Colours | str | None = None  # or a name of NORMALISATIONS, which gives std as well
    std: Colours | None = None
    kind: Kind | None = None
    range_m: tuple[float, float] | None = None
    distance: Distance | None = None

    @property
    def names(self) -> list[str]:
        """The fields that were given."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    @property
    def said(self) -> list[str]:
        """The options that were given."""
        return [option_of(name) for name in self.names]

    @property
    def spelt_out(self) -> "Described":
        """The same with a normalisation's name replaced by its values; a std that was given stays.

        Raises UsageError for a name that there is not, and for ImageNet's values in the order blue, green, red.
        """
        if not isinstance(self.mean, str):
            _refuse_blue_first("--mean", self.mean)
            _refuse_blue_first("--std", self.std)
            return self
        if self.mean not in NORMALISATIONS:
            raise UsageError(f"--mean {self.mean}: unknown normalisation; choose from {', '.join(NORMALISATIONS)}")
        named = NORMALISATIONS[self.mean]
        return replace(self, mean=named.mean, std=self.std or named.std)


def option_of(name: str) -> str:
    """The option that says a field."""
    return f"--{name.removesuffix('_m').replace('_', '-')}"


def as_typed(name: str, value: object) -> str:
    """The option with a value, as it is typed."""
    if isinstance(value, bool):
        return option_of(name) if value else f"--no-{name}"
    return f"{option_of(name)} {value}"


def _refuse_blue_first(option: str, values: Colours | None) -> None:
    """The network is given red first, whatever the camera's order, so statistics of blue first are another's."""
    imagenet = NORMALISATIONS["imagenet"]
    for known in (imagenet.mean, imagenet.std):
        for brightest in (1, MAX_LEVEL):
            reversed_ = [value * brightest for value in known[::-1]]
            if values and all(abs(a - b) <= SAME * brightest for a, b in zip(values, reversed_, strict=True)):
                raise UsageError(
                    f"{option} {','.join(f'{value:g}' for value in values)}: these are ImageNet's in the order blue, "
                    "green, red, and the network is given red first; did you mean --mean imagenet? If the network "
                    "really was trained this way, write them into a contract.json"
                )
