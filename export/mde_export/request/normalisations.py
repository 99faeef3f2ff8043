"""Normalisations with a name: mean and standard deviation of colours from 0 to 1.

`--mean NAME`. Light: --help lists them.
"""

from dataclasses import dataclass

Colours = tuple[float, float, float]  # red, green, blue


@dataclass(frozen=True)
class Normalisation:
    """A row of the table."""

    help: str
    mean: Colours
    std: Colours


NORMALISATIONS = {
    "imagenet": Normalisation("0.485,0.456,0.406 and 0.229,0.224,0.225", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": Normalisation("0.5 and 0.5, so -1 to 1", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": Normalisation("0 and 1", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
