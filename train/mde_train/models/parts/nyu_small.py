"""The common frame of the four networks of the NYU slides: 228x304 in, 57x76 out, 0 to 10 m."""

from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork

INPUT_PX = (228, 304)
LABEL_PX = (57, 76)  # every fourth pixel of the input

Colour = tuple[float, float, float]


def small_contract(height_px: int, width_px: int, mean: Colour, std: Colour) -> Contract:
    """Frames brought to 228x304 with antialias; a map of a quarter of that, metres, 0 to 10."""
    return Contract(
        source=SourceFrame(height_px=height_px, width_px=width_px, colour="rgb", dtype="uint8", layout="NHWC"),
        to_network=ToNetwork(
            height_px=INPUT_PX[0],
            width_px=INPUT_PX[1],
            multiple_of_px=4,
            resize="stretch",
            interpolation="bilinear",
            antialias=True,
            align_corners=False,
            rounding="none",
            pad_px=(0, 0, 0, 0),
            padding="zero",
            fill="zero",
            scale=1 / 255,
            mean=mean,
            std=std,
        ),
        from_network=FromNetwork(
            kind="metric_depth",
            unit="m",
            near_m=0.0,
            far_m=10.0,
            distance="z",
            covers=(0, 0, *INPUT_PX),
            interpolation="bilinear",
            antialias=True,
            align_corners=False,
            via_input=True,
            inversion="before_resize",
            scale=1.0,
            shift=0.0,
            canonical_focal_px=None,
        ),
        intrinsics=None,
    )
