"""Pictures: files, folders with all that is below them, and patterns such as `'drive/*.jpg'`."""

import functools
import glob
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from mde_runtime.contract import MAX_SIDE_PX
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.sources import SINGLE_PICTURES, Source, SourceFrame

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
# Pillow goes by content, and would hand what is PostScript inside a .jpg to Ghostscript.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM")
UPRIGHT_BY = {  # EXIF's orientation, and what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def open(source: str) -> Source | None:
    """The pictures of a source; None where it is none of these. Raises BadInputError where nothing is there."""
    path = Path(source)
    if path.is_dir():
        below = [found for found in path.rglob("*") if found.suffix.lower() in SUFFIXES and found.is_file()]
        below.sort(key=lambda found: (found.parent, found))  # a folder's own pictures come after each other
        if not below:
            raise BadInputError(f"{source}: no picture in this folder ({', '.join(SUFFIXES)}); name another")
        return _source(source, {found.relative_to(path): found for found in below}, path.resolve().name)
    if path.is_file():
        return _source(source, {Path(path.name): path}) if path.suffix.lower() in SUFFIXES else None
    matches = sorted(map(Path, glob.glob(source, recursive=True)))  # noqa: PTH207  Path.glob takes no absolute pattern
    if not matches:
        raise BadInputError(f"{source}: no such file or folder; name one that is there")
    found = [match for match in matches if match.suffix.lower() in SUFFIXES]
    if doubled := next((match for match in found if sum(other.name == match.name for other in found) > 1), None):
        raise UsageError(f"{source}: more than one {doubled.name}; give the folder, which keeps its shape")
    return _source(source, {Path(match.name): match for match in found}) if found else None


def _source(origin: str, paths: dict[Path, Path], folder: str | None = None) -> Source:
    """paths: from the name of the result to the file. folder: the name of that which holds them."""
    named = [(relative.with_suffix(""), path) for relative, path in paths.items()]

    def frames() -> Iterator[SourceFrame]:
        for name, path in named:
            film = Path(folder or SINGLE_PICTURES) / name.parent
            yield SourceFrame(name.as_posix(), functools.partial(read_picture, path), film.as_posix())

    return Source(origin, tuple(name.as_posix() for name, _ in named), len(named), frames, folder)


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """The picture as RGB uint8 (H, W, 3), turned upright as its EXIF says; a grey one three times, alpha dropped.

    Raises BadInputError where it cannot be read, is too large, or has more than 8 bits a colour.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if max(image.size) > MAX_SIDE_PX:
                raise BadInputError(
                    f"{path}: {image.width}x{image.height} px is more than {MAX_SIDE_PX} px a side; make it smaller"
                )
            if image.mode not in EIGHT_BIT_MODES:
                raise BadInputError(f"{path}: a picture of mode {image.mode}, not 8 bits a colour; convert it first")
            return np.asarray(_upright(image).convert("RGB"))
    except (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:  # a TIFF's odd types
        raise BadInputError(
            f"{path}: not a picture that can be read ({error}); copy it again, or save it anew"
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says. Pillow's own way writes all of EXIF anew, and fails on a tag of odd type."""
    image.load()  # first, since Pillow turns a TIFF by itself while loading it
    by = UPRIGHT_BY.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if by is None else image.transpose(by)
