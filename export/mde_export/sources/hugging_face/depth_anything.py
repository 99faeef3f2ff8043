"""Depth Anything, versions 1 and 2: DINOv2 with DPT's head; relative inverse depth, or metric up to `max_depth`."""

from torch import nn

from mde_export.request.request import Size
from mde_export.sources.hugging_face import dpt
from mde_export.sources.hugging_face.pipeline import Configuration, FromPublisher, PredictedDepth, Processor
from mde_runtime.contract import ToNetwork

network: type[nn.Module] = PredictedDepth


def into(processor: Processor, source: Size) -> ToNetwork:
    """The way in is DPT's."""
    return dpt.into(processor, source)


def out_of(config: Configuration, _processor: Processor) -> FromPublisher:
    """Bicubic, without antialias, whatever the way in."""
    if config.depth_estimation_type == "metric":
        range_m = (0.0, float(config.max_depth)) if config.max_depth else None
        return FromPublisher(kind="metric_depth", range_m=range_m, interpolation="bicubic")
    return dpt.RELATIVE
