"""Pictures: files, folders with all that is below them, and patterns such as `'drive/*.jpg'`."""

import contextlib
import functools
import glob
import os
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile

from mde_runtime.contract import MAX_SIDE_PX
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.files import check_regular
from mde_runtime.quiet import without_c_lines
from mde_runtime.sinks import SINKS
from mde_runtime.sources import SINGLE_PICTURES, NamedFrame, Source, frame_that_fails
from mde_runtime.sources.exif import camera_of

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# Pictures all the same: in a folder they are named and left out.
NOT_READ = (".avif", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".exr", ".tga")
# Our own results beside the pictures or in a folder among them: not taken for pictures, unless they are named.
RESULTS = tuple(row.suffix for row in SINKS.values() if row.suffix and row.suffix.endswith(SUFFIXES))
# Pillow goes by content, and would hand what is PostScript inside a .jpg to Ghostscript.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM")
# Pillow's words for a damaged file: no such picture, cut off, a TIFF's odd types, a PNG's short chunks, zlib's own
DAMAGED_PICTURE = (
    *(OSError, EOFError, SyntaxError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
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
SIXTEEN_BITS = re.compile(r";16[BLN]")  # of Pillow's decoders; `BGR;16` is 5 or 6 bits a colour


@dataclass(frozen=True)
class _Found:
    """What lies in a folder or fits a pattern."""

    pictures: list[Path]
    problems: dict[Path, str]  # what is left out, and why
    num_results: int


def open(source: str) -> Source | None:
    """The pictures of a source; None where it is none of these. Raises BadInputError where nothing is there."""
    path = Path(source)
    if path.is_dir():
        return _folder(source, path)
    if os.path.lexists(path):
        if path.suffix.lower() not in SUFFIXES:
            return None
        if _lies_beside_its_picture(path):  # a shell made the list of a folder that results were written to
            return _source(source, {}, found=_Found([], {}, 1))
        return _source(source, {Path(path.name): path})
    matches = sorted(map(Path, glob.glob(source, recursive=True)))  # noqa: PTH207  Path.glob takes no absolute pattern
    if not matches:
        raise BadInputError(f"{source}: no such file or folder; check the path")
    found = _sorted_out(matches, takes_results=source.endswith(RESULTS))
    counts = Counter(match.name for match in found.pictures)
    if doubled := next((name for name, count in counts.items() if count > 1), None):
        raise UsageError(f"{source}: several inputs give {doubled}; pass their folder, which keeps subfolders apart")
    if not found.pictures:
        return None
    return _source(source, {Path(match.name): match for match in found.pictures}, found=found)


def _lies_beside_its_picture(path: Path) -> bool:
    """Whether a file is the result of a picture in the same folder."""
    ending = next((ending for ending in RESULTS if path.name.endswith(ending)), None)
    if ending is None:
        return False
    name = path.name.removesuffix(ending)
    return any(path.with_name(f"{name}{suffix}").is_file() for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES)))


def _folder(source: str, path: Path) -> Source:
    """The pictures of a folder and of all below it, links to folders included, each folder once."""
    problems: dict[Path, str] = {}
    files: list[Path] = []
    seen: set[tuple[int, int]] = set()

    def is_new(folder: Path) -> bool:
        try:
            status = folder.stat()
        except OSError:  # walking into it says why
            return True
        before = len(seen)
        seen.add((status.st_dev, status.st_ino))
        return len(seen) > before

    def note(error: OSError) -> None:
        problems[Path(error.filename)] = f"a folder that cannot be read ({error.strerror}); give this user access"

    is_new(path)
    for folder, below, names in os.walk(path, onerror=note, followlinks=True):
        below[:] = [name for name in sorted(below) if is_new(Path(folder, name))]
        files += (Path(folder, name) for name in names)
    found = _sorted_out(files)
    found.problems.update(problems)
    if not found.pictures and not found.problems:
        raise BadInputError(f"{source}: no picture in this folder ({', '.join(SUFFIXES)}); name another")
    found.pictures.sort(key=lambda picture: (picture.parent, picture))  # a folder's own come after each other
    return _source(
        source, {picture.relative_to(path): picture for picture in found.pictures}, path.resolve().name, found
    )


def _sorted_out(paths: Iterable[Path], *, takes_results: bool = False) -> _Found:
    kinds: dict[str, list[Path]] = {"result": [], "picture": [], "not read": [], "other": []}
    for path in paths:
        suffix = path.suffix.lower()
        is_result = path.name.endswith(RESULTS) and not takes_results
        is_other = "not read" if suffix in NOT_READ else "other"
        kinds["result" if is_result else "picture" if suffix in SUFFIXES else is_other].append(path)
    why = f"a picture in an unsupported format; convert it to one of {', '.join(SUFFIXES)}"
    return _Found(kinds["picture"], dict.fromkeys(kinds["not read"], why), len(kinds["result"]))


def _source(origin: str, paths: Mapping[Path, Path], folder: str | None = None, found: _Found | None = None) -> Source:
    """paths: from the name of the result to the file. folder: the name of that which holds them."""
    named = [(relative.with_suffix(""), path) for relative, path in paths.items()]
    problems = found.problems if found else {}

    def frames() -> Iterator[NamedFrame]:
        for name, path in named:
            film = Path(folder or SINGLE_PICTURES) / name.parent
            read, camera = functools.partial(read_picture, path), functools.partial(camera_of, path, FORMATS)
            yield NamedFrame(name.as_posix(), read, film.as_posix(), camera=camera)
        for path, why in problems.items():
            yield frame_that_fails(path.name, folder or SINGLE_PICTURES, BadInputError(f"{path}: {why}"))

    takes = tuple((name.as_posix(), str(path)) for name, path in named)
    note = ""
    if found and found.num_results:
        endings = ", ".join(RESULTS)
        note = f"{origin}: results of earlier runs are not taken as pictures ({found.num_results} of {endings})"
    return Source(origin, takes, len(named) + len(problems), frames, folder, note=note)


def rgb_of(picture: object) -> npt.NDArray[np.uint8]:
    """A picture as RGB uint8 (H, W, 3): a file by its path, a PIL image, an array that is RGB (H, W, 3) or grey (H, W).

    Raises BadInputError for anything else, and as `read_picture`.
    """
    if isinstance(picture, str | os.PathLike):
        return read_picture(Path(picture))
    if isinstance(picture, Image.Image):
        return _rgb(picture, "the picture")
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and 0 not in picture.shape:
        if picture.ndim == 2:
            return np.repeat(picture[..., None], 3, axis=2)
        if picture.ndim == 3 and picture.shape[2] == 3:
            return picture
    found = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise BadInputError(f"the picture is {found}; pass a path, a PIL image, or RGB as uint8 (height, width, 3)")


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """The picture as RGB uint8 (H, W, 3), turned upright as its EXIF says; a grey one three times, alpha dropped.

    Raises BadInputError where it cannot be read, is too large, or has more than 8 bits a colour.
    """
    try:
        check_regular(path)
        with Image.open(path, formats=FORMATS) as image:
            return _rgb(image, str(path))
    except MemoryError as error:
        raise BadInputError(f"{path}: does not fit into this machine's memory; make it smaller") from error
    except DAMAGED_PICTURE as error:
        raise BadInputError(f"{path}: not a readable picture ({error}); copy it again, or save it again") from error


def _rgb(image: Image.Image, name: str) -> npt.NDArray[np.uint8]:
    if max(image.size) > MAX_SIDE_PX:
        raise BadInputError(
            f"{name}: {image.width}x{image.height} px is more than {MAX_SIDE_PX} px a side; make it smaller"
        )
    if image.mode not in EIGHT_BIT_MODES or (isinstance(image, ImageFile.ImageFile) and _has_more_than_8_bits(image)):
        raise BadInputError(
            f"{name}: a picture of mode {image.mode} with more than 8 bits per channel; convert it first"
        )
    return np.asarray(_upright(image).convert("RGB"))


def _has_more_than_8_bits(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow would cut the colours to 8 bits, which it does to all but grey without a word."""
    for codec, _, _, options in image.tile:
        values = options if isinstance(options, tuple) else (options,)
        if any(isinstance(value, str) and SIXTEEN_BITS.search(value) for value in values):
            return True
        highest = max((value for value in values if isinstance(value, int)), default=0)
        if codec in ("ppm", "ppm_plain") and highest > 255:
            return True
    return False


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says. Pillow's own way writes all of EXIF anew, and fails on a tag of odd type."""
    with without_c_lines() if image.format == "TIFF" else contextlib.nullcontext():
        image.load()  # first, since Pillow turns a TIFF by itself while loading it
    by = UPRIGHT_BY.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if by is None else image.transpose(by)
