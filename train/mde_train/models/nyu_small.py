"""What the four networks of the NYU slides share: 228x304 in, 57x76 out, 0 to 10 m."""

from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork

INPUT_PX = (228, 304)
LABEL_PX = (57, 76)  # every fourth pixel of the input

Colour = tuple[float, float, float]


def small_contract(height_px: int, width_px: int, mean: Colour, std: Colour) -> Contract:
    """Frames brought to 228x304 with antialias; a map of a quarter of that, metres, 0 to 10."""
    return Contract(
        SourceFrame(height_px, width_px, "rgb", "uint8", "NHWC"),
        ToNetwork(*INPUT_PX, 4, "stretch", "bilinear", True, 1 / 255, mean, std),
        FromNetwork("metric_depth", "m", 0.0, 10.0, "z", (0, 0, *INPUT_PX), "bilinear", True, scale=1.0, shift=0.0),
        None,
    )
