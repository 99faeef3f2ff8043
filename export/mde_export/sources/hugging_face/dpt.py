"""DPT, MiDaS 3 among them: a vision transformer, alone or over a ResNet, with a dense head; relative inverse depth."""

from dataclasses import replace

from torch import nn

from mde_export.request.request import Size
from mde_export.sources.hugging_face.pipeline import (
    LEVELS,
    Configuration,
    FromPublisher,
    PredictedDepth,
    Processor,
    check_unpadded,
    fitted_size,
    target_size,
    to_network,
    whole,
)
from mde_runtime.contract import ToNetwork
from mde_runtime.errors import BadInputError

network: type[nn.Module] = PredictedDepth

# Hugging Face's post-processing ends with inverse depth at the frame's size, so metres come after the resize.
RELATIVE = FromPublisher(kind="relative_inverse_depth", range_m=None, interpolation="bicubic", inversion="after_resize")


def into(processor: Processor, source: Size) -> ToNetwork:
    """Raises BadInputError where the processor pads or crops."""
    if processor.do_center_crop:
        raise BadInputError("its processor cuts out the centre, which no contract can express; turn do_center_crop off")

    def size_of(frame: Size) -> Size:
        if not processor.do_resize:
            return frame
        multiple = processor.ensure_multiple_of or 1
        return fitted_size(frame, target_size(processor), bool(processor.keep_aspect_ratio), multiple)

    check_unpadded(processor, source, size_of)
    return to_network(processor, size_of(source), LEVELS, whole(processor.ensure_multiple_of))


def out_of(config: Configuration, _processor: Processor) -> FromPublisher:
    """Relative, as MiDaS. Over DINOv2 it was published with metres as well, and no file says which."""
    backbone = getattr(config.backbone_config, "model_type", None)
    return replace(RELATIVE, kind=None) if backbone == "dinov2" else RELATIVE
