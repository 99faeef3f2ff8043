"""GLPN: a SegFormer encoder and a light decoder; metric depth up to `max_depth`."""

from torch import nn

from mde_export.request.request import Size
from mde_export.sources.hugging_face.pipeline import (
    LEVELS,
    Configuration,
    FromPublisher,
    PredictedDepth,
    Processor,
    to_network,
)
from mde_runtime.contract import ToNetwork

network: type[nn.Module] = PredictedDepth


def into(processor: Processor, source: Size) -> ToNetwork:
    """Each side rounded down to a multiple of `size_divisor`."""
    multiple_px = int(processor.size_divisor) if processor.do_resize else 1
    height_px, width_px = (side // multiple_px * multiple_px for side in source)
    return to_network(processor, (height_px, width_px), LEVELS, multiple_px)


def out_of(config: Configuration, _processor: Processor) -> FromPublisher:
    """Bicubic, without antialias, whatever the way in."""
    return FromPublisher(kind="metric_depth", range_m=(0.0, float(config.max_depth)), interpolation="bicubic")
