"""The networks, by name. A model is one file with `build` and `contract`, and one line in `MODELS`."""

import importlib
import inspect
import math
from collections.abc import Mapping
from typing import Any, Protocol, cast

from torch import nn

from mde_runtime.contract import Contract
from mde_runtime.errors import UsageError
from mde_runtime.nearest import did_you_mean

MODELS = {
    "resnet34-seed": "mde_train.models.resnet34_seed",
    "resnet34-skip": "mde_train.models.resnet34_skip",
    "mobilenetv2-skip": "mde_train.models.mobilenetv2_skip",
    "fast": "mde_train.models.fast",
    "fcrn": "mde_train.models.fcrn",
    "cnn-fc": "mde_train.models.cnn_fc",
    "cnn-trans": "mde_train.models.cnn_trans",
    "cnn": "mde_train.models.cnn",
}

OF_TRAINING = ("weights", "is_frozen")  # options that say how a network is trained, not what it computes
LARGEST_OPTION = 10_000  # more than any width or number of layers that trains


class Model(Protocol):
    """What a model's file holds."""

    def build(self, **options: Any) -> nn.Module:  # Any: each model has its own options, checked by its signature
        """The network with fresh weights."""

    # Any: of its own options those that change what the network expects or gives, such as its range
    def contract(self, height_px: int, width_px: int, **options: Any) -> Contract:
        """What the network expects and gives for frames of that size."""


def model_named(name: str) -> Model:
    """The model's file. Raises UsageError for a name that is not in the table."""
    if name not in MODELS:
        raise UsageError(f"no model {name!r}{did_you_mean(name, MODELS)}; the models are {', '.join(MODELS)}")
    return cast(Model, importlib.import_module(MODELS[name]))  # the table's own modules


def build_model(name: str, **options: Any) -> nn.Module:
    """The named network with fresh weights. Raises UsageError for an option that it does not have or that cannot be."""
    build = model_named(name).build
    own = inspect.signature(build, eval_str=True).parameters
    for option, value in options.items():
        if option not in own:
            near = did_you_mean(option, own)
            raise UsageError(f"model {name}: no option {option!r}{near}; its options are: {', '.join(own) or 'none'}")
        _check_option(f"model {name}: option {option}", value, own[option].annotation)
    return build(**_reals(options, own))


def contract_of(name: str, height_px: int, width_px: int, options: Mapping[str, Any]) -> Contract:
    """What the named network expects and gives for frames of that size; options: of its `build`."""
    contract = model_named(name).contract
    own = inspect.signature(contract, eval_str=True).parameters
    return contract(height_px, width_px, **_reals({name: options[name] for name in options if name in own}, own))


def _reals(options: Mapping[str, Any], own: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """The options with a float wherever one belongs: JSON's 20 is an int, and torch exports no clamp of both kinds."""
    return {name: float(value) if own[name].annotation is float else value for name, value in options.items()}


def options_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the named network computes by: its options' defaults and what is given, without those `OF_TRAINING`."""
    own = inspect.signature(model_named(name).build).parameters
    options = {option: given.get(option, parameter.default) for option, parameter in own.items()}
    return {option: value for option, value in options.items() if option not in OF_TRAINING}


def _check_option(what: str, value: object, kind: type) -> None:
    """A file's options are a stranger's: no text where a number belongs, and no number that builds for hours."""
    is_kind = isinstance(value, int | float) and math.isfinite(value) if kind is float else isinstance(value, kind)
    if isinstance(value, bool) != (kind is bool) or not is_kind:
        raise UsageError(f"{what}: {value!r} is not a valid value ({inspect.formatannotation(kind)})")
    if kind is int and value > LARGEST_OPTION:  # type: ignore[operator]  # an int, by now
        raise UsageError(f"{what}: {value} is more than {LARGEST_OPTION}")
