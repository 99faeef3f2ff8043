"""TIPSv2 with DPT's head: metric depth as the mean of bins between `min_depth` and `max_depth`."""

from torch import nn

from mde_export.request.request import Size
from mde_export.sources.hugging_face.pipeline import (
    LEVELS,
    Configuration,
    FromPublisher,
    PredictedDepth,
    Processor,
    target_size,
    to_network,
)
from mde_runtime.contract import ToNetwork

network: type[nn.Module] = PredictedDepth


def into(processor: Processor, source: Size) -> ToNetwork:
    """Stretched to the processor's size."""
    return to_network(processor, target_size(processor) if processor.do_resize else source, LEVELS)


def out_of(config: Configuration, _processor: Processor) -> FromPublisher:
    """Bilinear."""
    range_m = (float(config.min_depth), float(config.max_depth))
    return FromPublisher(kind="metric_depth", range_m=range_m, interpolation="bilinear")
