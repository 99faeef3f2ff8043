"""CHMv2: the height of trees seen from above, metres, over DINOv3; metric depth as the mean of bins."""

from torch import nn

from mde_export.request.request import Size
from mde_export.sources.hugging_face import dpt
from mde_export.sources.hugging_face.pipeline import Configuration, FromPublisher, PredictedDepth, Processor
from mde_runtime.contract import ToNetwork

network: type[nn.Module] = PredictedDepth


def into(processor: Processor, source: Size) -> ToNetwork:
    """The way in is DPT's, padding refused."""
    return dpt.into(processor, source)


def out_of(config: Configuration, _processor: Processor) -> FromPublisher:
    """Bilinear with corners aligned."""
    range_m = (0.0, float(config.max_depth))
    return FromPublisher(kind="metric_depth", range_m=range_m, interpolation="bilinear", align_corners=True)
