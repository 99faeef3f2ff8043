"""Pretrained weights for torchvision's ResNets: from torchvision's server, or from a file that the user has."""

import urllib.error
from pathlib import Path

import torch
from torch import nn

from mde_runtime import files
from mde_runtime.errors import BadInputError, MachineError
from mde_train import torch_files
from mde_train.torchvision_ops import import_torchvision

IMAGENET = "IMAGENET1K_V1"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_resnet_weights(resnet: nn.Module, name: str, weights: str | Path) -> None:
    """Fill a torchvision ResNet. weights: `none` leaves it as it is, `imagenet` downloads, else a file is read.

    Raises MachineError when there is no network for `imagenet`, BadInputError when the file does not fit.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        resnet.load_state_dict(_downloaded(name))
        return
    path = Path(weights)
    state = torch_files.load(path)
    try:
        resnet.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(f"{path}: not torchvision's {name} weights ({reason}); give {name}-*.pth") from error


def _downloaded(name: str) -> dict[str, torch.Tensor]:
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
        raise BadInputError(f"{path}: damaged: its SHA-256 does not begin with {begins}; delete it to get it anew")
