"""The camera of a photograph, as its EXIF says: a pinhole with its axis in the picture's middle."""

import math
from pathlib import Path

from PIL import ExifTags, Image

from mde_runtime.contract import Intrinsics

FULL_FRAME_MM = (36.0, 24.0)  # of the 35 mm film that equivalent focal lengths speak of, by its diagonal
UNIT_MM = {2: 25.4, 3: 10.0}  # of FocalPlaneResolutionUnit: inches, centimetres


def camera_of(path: Path, formats: tuple[str, ...]) -> Intrinsics | None:
    """The camera of a picture upright at its own size; None where its EXIF does not say, or says no focal length.

    A picture that was cropped after it was taken is not known as such. Source of the tags: EXIF 2.32 (CIPA DC-008).
    """
    try:
        with Image.open(path, formats=formats) as image:
            exif, (width_px, height_px) = image.getexif(), image.size
            focal_px = _focal_px(exif, width_px, height_px)
            if exif.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8):  # held upright: turned when it is read
                width_px, height_px = height_px, width_px
    except Exception:  # noqa: BLE001  EXIF of anyone's make; the picture itself was read already
        return None
    if not (math.isfinite(focal_px) and focal_px > 0):
        return None
    return Intrinsics(fx_px=focal_px, fy_px=focal_px, cx_px=(width_px - 1) / 2, cy_px=(height_px - 1) / 2)


def _focal_px(exif: Image.Exif, width_px: int, height_px: int) -> float:
    """By the sensor's pixels where both are stated, else by the equivalent on 35 mm film; 0 where neither is."""
    tags = exif.get_ifd(ExifTags.IFD.Exif)
    focal_mm = float(tags.get(ExifTags.Base.FocalLength, 0))
    per_unit = float(tags.get(ExifTags.Base.FocalPlaneXResolution, 0))
    taken_px = float(tags.get(ExifTags.Base.ExifImageWidth, 0))
    if focal_mm > 0 and per_unit > 0 and taken_px > 0:
        mm = UNIT_MM.get(tags.get(ExifTags.Base.FocalPlaneResolutionUnit, 2), 25.4)
        return focal_mm * per_unit / mm * width_px / taken_px  # made smaller since, it still says the size it had
    equivalent_mm = float(tags.get(ExifTags.Base.FocalLengthIn35mmFilm, 0))
    return equivalent_mm / math.hypot(*FULL_FRAME_MM) * math.hypot(width_px, height_px)
