"""CHMv2: the height of trees seen from above, metres, over DINOv3; metric depth as the mean of bins."""

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

network: type[nn.Module] = PredictedDepth


def into(processor: Processor, source: Size) -> ToNetwork:
    """Raises BadInputError where the processor pads."""

    def size_of(frame: Size) -> Size:
        if not processor.do_resize:
            return frame
        multiple = processor.ensure_multiple_of or 1
        return fitted_size(frame, target_size(processor), bool(processor.keep_aspect_ratio), multiple)

    check_unpadded(processor, source, size_of)
    return to_network(processor, size_of(source), LEVELS, whole(processor.ensure_multiple_of))


def out_of(config: Configuration, _processor: Processor) -> FromPublisher:
    """Bilinear with corners aligned."""
    range_m = (0.0, float(config.max_depth))
    return FromPublisher(kind="metric_depth", range_m=range_m, interpolation="bilinear", align_corners=True)
