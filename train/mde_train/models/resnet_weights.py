"""Pretrained weights for torchvision's ResNets: from torchvision's server, or from a file that the user has."""

import pickle
import urllib.error
from pathlib import Path

import torch
from torch import nn

from mde_runtime.errors import BadInputError, MachineError
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
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        resnet.load_state_dict(state)
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such file; give torchvision's {name} weights, or `none`") from error
    except (RuntimeError, pickle.UnpicklingError, TypeError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(f"{path}: not torchvision's {name} weights ({reason}); give {name}-*.pth") from error


def _downloaded(name: str) -> dict[str, torch.Tensor]:
    enum = import_torchvision().models.get_model_weights(name)[IMAGENET]
    try:
        return dict(enum.get_state_dict(progress=False, check_hash=True))
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        file = Path(enum.url).name
        raise MachineError(
            f"the ImageNet weights of {name} could not be downloaded ({str(error).splitlines()[0]}); "
            f"bring {file} from a machine with a network and pass its path: --weights {file}"
        ) from error
