"""Depth Pro: patches of the frame in three sizes through one encoder; metric inverse depth by its own field of view."""

from torch import Tensor, nn

from mde_export.request.request import Size
from mde_export.sources.hugging_face.pipeline import (
    Configuration,
    FromPublisher,
    Processor,
    Resizing,
    degrees_to_width,
    interpolation_of,
    target_size,
    to_network,
)
from mde_runtime.contract import ToNetwork
from mde_runtime.errors import BadInputError

ASSUMED_FAR_M = 100.0  # the network gives inverse depth down to 1e-4; beyond this far nobody has judged it


class InverseMetres(nn.Module):
    """Depth Pro with its field of view applied: inverse depth of a focal length in px becomes 1/m."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, h, w) to (N, h, w)."""
        output = self.model(pixel_values=x)
        widths: Tensor = degrees_to_width(output.field_of_view).reshape(-1, 1, 1)
        inverse_metres: Tensor = output.predicted_depth * widths
        return inverse_metres


network: type[nn.Module] = InverseMetres


def into(processor: Processor, source: Size) -> ToNetwork:
    """Normalised before it is resized, in floating point and without antialias: the same but for rounding."""
    size = target_size(processor) if processor.do_resize else source
    return to_network(processor, size, Resizing(antialias=False))


def out_of(config: Configuration, processor: Processor) -> FromPublisher:
    """Resized as the frame was, then inverted. Raises BadInputError where it has no field of view to tell metres by."""
    if not config.use_fov_model:
        raise BadInputError(
            "this Depth Pro has no network for the field of view, so its metres depend on a focal length that no "
            "contract can express; use one with use_fov_model"
        )
    return FromPublisher(
        kind="inverse_depth",
        range_m=None,
        interpolation=interpolation_of(processor),
        inversion="after_resize",
        assumed_far_m=ASSUMED_FAR_M,
    )
