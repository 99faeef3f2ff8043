"""Files of `torch.save`, checkpoints and state dicts: their checksums are checked, then they load, and nothing runs.

`torch.save` writes a zip of stored members with a CRC-32 each, and `torch.load` looks at none of them: a flipped bit
would be a weight of 1e38. The format before torch 1.6, a plain pickle, has no checksums; it loads as it is.
"""

import io
import itertools
import pickle
import struct
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mde_runtime.errors import BadInputError
from mde_runtime.files import check_regular

ZIP_START = b"PK\x03\x04"  # by this `torch.load` tells its two formats apart
PIECE_BYTES = 1 << 20
# torch's many words for it
NOT_A_CHECKPOINT = (
    *(RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, AssertionError, ArithmeticError),
    *(zipfile.BadZipFile, struct.error),
)


def load(path: Path) -> Any:  # Any: whatever was saved
    """What a file holds, on the CPU. Raises BadInputError where it is missing, damaged or holds more than data."""
    try:
        check_regular(path)
        file: Path | io.BytesIO = path
        if has_checksums(path):
            check_sums(path)
        else:  # from memory: of a file Python makes room for as many bytes as a length in it says, many or few
            file = io.BytesIO(path.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols: what cannot be read is an error below
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such file") from error
    except pickle.UnpicklingError as error:
        raise BadInputError(
            f"{path}: not a checkpoint, or one that would run code when loaded; none was run"
        ) from error
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}); copy it again") from error
    except NOT_A_CHECKPOINT as error:
        raise BadInputError(f"{path}: not a checkpoint, or cut short; copy it again") from error


def has_checksums(path: Path) -> bool:
    """Whether a file is of the format with checksums."""
    with path.open("rb") as file:
        return file.read(len(ZIP_START)) == ZIP_START


def check_sums(path: Path) -> None:
    """Read every member once, in pieces, against its CRC-32. Raises BadInputError for one that does not match.

    Raises BadZipFile where the file is no whole zip.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_listing(path, members)
        for member in members:
            if not _is_sound(archive, member):
                raise BadInputError(
                    f"{path}: damaged: {member.filename!r} does not match its checksum; copy it again from its source"
                )


def _is_sound(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(member) as content:
            while content.read(PIECE_BYTES):
                pass
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError):  # the last two: flags that were flipped
        return False
    return True


def _check_listing(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Only what `torch.save` writes: one place in the file for each name, and as many bytes there as in memory."""
    if members and not any(member.CRC for member in members):
        raise BadInputError(
            f"{path}: was saved without checksums; save it again, after torch.serialization.set_crc32_options(True)"
        )
    names = {member.filename.casefold() for member in members}  # torch looks them up in either case
    placed = sorted((member.header_offset, member.compress_size) for member in members)
    overlaps = any(offset + size > after for (offset, size), (after, _) in itertools.pairwise(placed))
    is_stored = all(
        member.compress_type == zipfile.ZIP_STORED and member.compress_size == member.file_size for member in members
    )
    if len(names) < len(members) or overlaps or not is_stored:
        raise BadInputError(
            f"{path}: its members are compressed, duplicated or overlapping, which torch.save never writes; copy it "
            "again, or save it again with torch.save"
        )
