"""Edits of files, as data: to their bytes, and within a format, whose checksums are then made right again.

A place is any whole number, taken modulo the number of places there are.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PNG_START = b"\x89PNG\r\n\x1a\n"
LARGEST_MEMBER_BYTES = 1 << 24
SHOWN = 60  # characters of an argument


@dataclass(frozen=True)
class Edit:
    """A change to a file's bytes."""

    function: Callable[..., bytes]
    arguments: tuple[Any, ...]

    def __call__(self, content: bytes) -> bytes:
        """The bytes after it."""
        return self.function(content, *self.arguments)

    def __repr__(self) -> str:
        shown = (repr(argument) for argument in self.arguments)
        shortened = (text if len(text) <= SHOWN else f"{text[:SHOWN]}..." for text in shown)
        return f"{self.function.__name__}({', '.join(shortened)})"


def splice(content: bytes, place: int, other_place: int, other: bytes) -> bytes:
    """The beginning of one file and the end of another."""
    return content[: place % (len(content) + 1)] + other[other_place % (len(other) + 1) :]


def flip(content: bytes, place: int, bit: int) -> bytes:
    """One bit flipped."""
    if not content:
        return content
    at = place % len(content)
    return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]


def overwrite(content: bytes, place: int, new: bytes) -> bytes:
    """Some bytes set."""
    at = place % (len(content) + 1)
    return content[:at] + new + content[at + len(new) :]


def insert(content: bytes, place: int, new: bytes) -> bytes:
    """Some bytes put in."""
    at = place % (len(content) + 1)
    return content[:at] + new + content[at:]


def delete(content: bytes, place: int, size: int) -> bytes:
    """Some bytes left out."""
    at = place % (len(content) + 1)
    return content[:at] + content[at + size :]


def cut(content: bytes, place: int) -> bytes:
    """The end cut off."""
    return content[: place % (len(content) + 1)]


def repeat(content: bytes, place: int, size: int, times: int) -> bytes:
    """Some bytes there several times."""
    at = place % (len(content) + 1)
    return content[:at] + content[at : at + size] * times + content[at + size :]


def replace_word(content: bytes, line: int, separator: str, place: int, new: str) -> bytes:
    """A word of a text replaced."""
    lines = _lines(content)
    at = line % len(lines)
    words = lines[at].split(separator)
    words[place % len(words)] = new
    lines[at] = separator.join(words)
    return _text(lines)


def copy_line(content: bytes, line: int, to: int) -> bytes:
    """A line of a text there once more."""
    lines = _lines(content)
    lines.insert(to % (len(lines) + 1), lines[line % len(lines)])
    return _text(lines)


def delete_line(content: bytes, line: int) -> bytes:
    """A line of a text left out."""
    lines = _lines(content)
    del lines[line % len(lines)]
    return _text(lines)


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "surrogateescape").splitlines(keepends=True) or [""]


def _text(lines: Sequence[str]) -> bytes:
    return "".join(lines).encode("utf-8", "surrogateescape")


def set_value(content: bytes, place: int, value: Any) -> bytes:
    """A value of a JSON text replaced; the whole of it where it holds no other."""
    return _with_json(content, place, lambda holder, key: holder.__setitem__(key, value), otherwise=value)


def scale_value(content: bytes, place: int, factor: float, offset: float) -> bytes:
    """A number of a JSON text replaced by a multiple of it."""

    def scaled(holder: Any, key: Any) -> None:
        if isinstance(holder[key], (int, float)):
            holder[key] = holder[key] * factor + offset

    return _with_json(content, place, scaled)


def delete_key(content: bytes, place: int) -> bytes:
    """A key or an item of a JSON text left out."""
    return _with_json(content, place, lambda holder, key: holder.__delitem__(key))


def add_key(content: bytes, place: int, name: str, value: Any) -> bytes:
    """A key put into an object of a JSON text."""

    def added(holder: Any, _: Any) -> None:
        if isinstance(holder, dict):
            holder[name] = value

    return _with_json(content, place, added)


def double_key(content: bytes, place: int) -> bytes:
    """A key of a JSON text there twice."""
    names: list[str] = []
    text = _with_json(content, place, lambda holder, key: names.append(key) if isinstance(holder, dict) else None)
    for name in (json.dumps(name).encode() for name in names):
        text = text.replace(name + b":", name + b": 0, " + name + b":", 1)
    return text


def _with_json(content: bytes, place: int, change: Callable[[Any, Any], None], otherwise: Any = None) -> bytes:
    """A JSON text after a change to one of its values; as it is where it is none."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return content
    values = [(holder, key) for holder in _holders(tree) for key in _keys(holder)]
    if values:
        change(*values[place % len(values)])
    else:
        tree = otherwise
    return json.dumps(tree).encode()


def _keys(holder: Any) -> list[Any]:
    return list(holder if isinstance(holder, dict) else range(len(holder)))


def _holders(tree: Any) -> list[Any]:
    """Every object and list of a JSON tree that holds something."""
    found, left = [], [tree]
    while left:
        at = left.pop()
        if isinstance(at, (dict, list)) and at:
            found.append(at)
            left += at.values() if isinstance(at, dict) else at
    return found


def in_member(content: bytes, place: int, edit: Edit, json_edit: Edit) -> bytes:
    """An edit to a member of a zip, which is then packed again with its checksum."""
    members = unpacked(content)
    if not members:
        return content
    name = list(members)[place % len(members)]
    members[name] = (json_edit if name.endswith(".json") else edit)(members[name])
    return packed(members)


def unpacked(content: bytes) -> dict[str, bytes]:
    """The members of a zip; none where it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = (entry for entry in archive.infolist() if entry.file_size < LARGEST_MEMBER_BYTES)
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, OSError, ValueError, LookupError, RuntimeError, EOFError, struct.error, zlib.error):
        return {}


def packed(members: dict[str, bytes]) -> bytes:
    """A zip of stored members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(name), member)
    return buffer.getvalue()


def replace_in_header(content: bytes, old: str, new: str) -> bytes:
    """A word of an .npy file's header replaced, and the header's length made right."""
    if content[:6] != b"\x93NUMPY" or len(content) < 10:
        return content
    (length,) = struct.unpack_from("<H", content, 8)
    header = content[10 : 10 + length].decode("latin-1").strip().replace(old, new, 1)[:60000] + "\n"
    return content[:8] + struct.pack("<H", len(header)) + header.encode("latin-1") + content[10 + length :]


def edit_chunk(content: bytes, place: int, edit: Edit) -> bytes:
    """An edit to a PNG's chunk, and its checksum made right."""
    return _with_chunks(content, place, lambda kind, body: [(kind, edit(body))])


def copy_chunk(content: bytes, place: int) -> bytes:
    """A PNG's chunk there twice."""
    return _with_chunks(content, place, lambda kind, body: [(kind, body)] * 2)


def delete_chunk(content: bytes, place: int) -> bytes:
    """A PNG's chunk left out."""
    return _with_chunks(content, place, lambda kind, body: [])  # noqa: ARG005  neither is left


def add_chunk(content: bytes, place: int, new: bytes) -> bytes:
    """A chunk of another kind with the same content put before a PNG's chunk."""
    return _with_chunks(content, place, lambda kind, body: [(new, body), (kind, body)])


Chunk = tuple[bytes, bytes]  # kind, body


def _with_chunks(content: bytes, place: int, changed: Callable[[bytes, bytes], list[Chunk]]) -> bytes:
    chunks = _chunks(content)
    if not chunks:
        return content
    at = place % len(chunks)
    chunks[at : at + 1] = changed(*chunks[at])
    return PNG_START + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _chunks(content: bytes) -> list[Chunk]:
    found, at = [], len(PNG_START)
    while content.startswith(PNG_START) and at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return found
