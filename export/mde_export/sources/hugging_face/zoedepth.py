"""ZoeDepth: BEiT with DPT's head and metric bins on top, of one domain or several; metric depth."""

import math

from torch import nn

from mde_export.request.request import Size
from mde_export.sources.hugging_face.pipeline import (
    Configuration,
    FromPublisher,
    PredictedDepth,
    Processor,
    Resizing,
    fitted_size,
    target_size,
    to_network,
    whole,
)
from mde_runtime.contract import ToNetwork

network: type[nn.Module] = PredictedDepth

PADDING_FACTOR = 3  # ZoeDepth's own: int(3 sqrt(side / 2)) px on both ends of each side, taken out of the map again


def into(processor: Processor, source: Size) -> ToNetwork:
    """The frame is padded by its reflection, and resized in floating point with its corners aligned."""
    down, across = (int(math.sqrt(side / 2) * PADDING_FACTOR) if processor.do_pad else 0 for side in source)
    padded = (source[0] + 2 * down, source[1] + 2 * across)
    multiple_px, size = whole(processor.ensure_multiple_of), padded
    if processor.do_resize:
        multiple = processor.ensure_multiple_of or 1  # its class has 1/32, which rounds to fractions of a pixel
        size = fitted_size(padded, target_size(processor), bool(processor.keep_aspect_ratio), multiple)
    how = Resizing(antialias=False, align_corners=True, pad_px=(down, across, down, across))
    return to_network(processor, size, how, multiple_px)


def out_of(config: Configuration, _processor: Processor) -> FromPublisher:
    """Bicubic to the padded frame's size. The range is that of all its domains together."""
    bins = config.bin_configurations
    range_m = (min(float(domain["min_depth"]) for domain in bins), max(float(domain["max_depth"]) for domain in bins))
    return FromPublisher(kind="metric_depth", range_m=range_m, interpolation="bicubic")
