"""The contract of a published network: what its files say, completed by what only its user can know."""

from types import ModuleType

from mde_export.request.request import Request, Size
from mde_export.sources.hugging_face.loading import Published
from mde_export.sources.hugging_face.pipeline import FromPublisher
from mde_runtime.contract import Contract, FromNetwork, Kind, SourceFrame
from mde_runtime.errors import BadInputError, UsageError

Range = tuple[float, float]


def contract_of(request: Request, family: ModuleType, found: Published, source: Size) -> tuple[Contract, list[str]]:
    """The contract, and in words what of it is assumed, or other than its publisher's.

    Raises UsageError where a relative network gets no scale and shift, or nothing gives the range.
    """
    try:
        inside = family.into(found.processor, source)
        way_back: FromPublisher = family.out_of(found.config, found.processor)
    except BadInputError as error:
        raise BadInputError(f"{request.model}: {error}") from error
    kind = request.described.kind or way_back.kind
    if kind is None:
        raise UsageError(
            f"{request.model}: networks of its kind are published with metres and with relative inverse depth, and "
            "its files do not say which; pass --kind metric_depth or --kind relative_inverse_depth"
        )
    _check_scale(request, kind)
    (near_m, far_m), notes = _range_of(request, way_back, kind)
    size = (inside.height_px, inside.width_px)
    focal_px = way_back.canonical_focal_px(source, size) if way_back.canonical_focal_px else None
    frame = SourceFrame(
        height_px=source[0],
        width_px=source[1],
        colour=request.described.colour or "rgb",
        dtype="uint8",
        layout="NHWC",
    )
    from_network = FromNetwork(
        kind=kind,
        unit="m",
        near_m=near_m,
        far_m=far_m,
        distance=request.described.distance or "z",
        covers=(0, 0, inside.height_px, inside.width_px),
        interpolation=way_back.interpolation,
        antialias=False,
        align_corners=way_back.align_corners,
        via_input=False,
        inversion=way_back.inversion,
        scale=1.0,
        shift=0.0,
        canonical_focal_px=focal_px,
    )
    contract = Contract(source=frame, to_network=inside, from_network=from_network, intrinsics=None)
    return contract, [*notes, way_back.differs] if way_back.differs else notes


def _check_scale(request: Request, kind: Kind) -> None:
    if kind != "relative_inverse_depth" or request.measured is not None:
        return
    if request.scale is None or request.shift is None:
        raise UsageError(
            f"{request.model}: gives relative inverse depth, which becomes metres only with a scale and shift for "
            "your camera; fit them with --measured FILE, or pass both --scale and --shift: 1 / metres = scale x map "
            "+ shift"
        )


def _range_of(request: Request, way_back: FromPublisher, kind: Kind) -> tuple[Range, list[str]]:
    """Near and far, with a note where they are assumed."""
    if request.described.range_m is not None:
        return request.described.range_m, []
    if way_back.range_m is not None and kind == way_back.kind:
        return way_back.range_m, []
    if kind == way_back.kind and way_back.assumed_far_m is not None:
        far_m = way_back.assumed_far_m
        return (0.0, far_m), [f"range 0 to {far_m:g} m is assumed: the publisher states none; --range changes it"]
    if kind == "relative_inverse_depth" and request.shift is not None and request.shift > 0:
        far_m = 1 / request.shift
        return (0.0, far_m), [f"range 0 to {far_m:.4g} m is assumed, 1 / shift; --range changes it"]
    raise UsageError(f"{request.model}: its files do not state its depth range; pass --range NEAR:FAR, in metres")
