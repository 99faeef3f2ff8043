"""Mutants of files: bits and bytes, and changes within the format, whose checksums are then made right again."""

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

INTERESTING = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1)
ODD_TEXTS = (
    *("", "0", "-1", "nan", "inf", "1e999", "1_000", "9" * 5000, "0x10", "1.5", "..", "/", "/etc/passwd", "a/../../b"),
    *(
        "\0",
        "\x1b[31m",
        "\u2028",
        "\ufeff",
        "\u0663",
        "None",
        ",",
        ".,.",
        " ",
        "x" * 300,
        "[" * 2000,
        '"',
        "#",
        "=@(1)",
    ),
)
ODD_VALUES: tuple[Any, ...] = (  # of JSON: any type
    *(None, True, False, 0, -1, 1, 1.5, 2**31, 2**70, -0.0, 1e308, 1e-320, float("nan"), float("inf")),
    *("", "0", "\ud800", "\x1b[31m", "x" * 3000, [], {}, [0], {"": 0}, [[]] * 3),
)
ODD_HEADERS = (  # words of an .npy header
    *(
        "'|O'",
        "True",
        "()",
        "(24,)",
        "-1",
        "2**62",
        "b'x'",
        "[]",
        "'<f8'",
        "'>f4'",
        "'<f2'",
        "(" * 90,
        "1e3",
        "",
        "None",
    ),
    *("[('a', '<f4')]", "'<M8[s]'", "'|V4'", "(2**40, 1)", "'<f4', 'descr': '<i4'"),
)
PNG_START = b"\x89PNG\r\n\x1a\n"
Change = Callable[[random.Random, bytes], bytes]


def mutant(chance: random.Random, seeds: Sequence[bytes], changes: Sequence[Change]) -> bytes:
    """One of the seeds after one to four changes; now and then left as it is."""
    content: bytes = chance.choice(seeds)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        if not changes or chance.random() < 0.1:
            content = spliced(chance, content, chance.choice(seeds))
        else:
            content = chance.choice(changes)(chance, content)
    return content


def with_bytes(chance: random.Random, content: bytes) -> bytes:
    """Some bytes of it flipped, set, cut off, doubled, left out or put in."""
    if not content:
        return bytes(chance.randrange(256) for _ in range(chance.randrange(64)))
    start = chance.randrange(len(content))
    end = min(len(content), start + chance.choice((1, 2, 4, 8, 64, 1024)))
    kind = chance.randrange(7)
    if kind == 0:
        return content[:start] + bytes([content[start] ^ 1 << chance.randrange(8)]) + content[start + 1 :]
    if kind == 1:
        return content[:start] + bytes([chance.choice((0, 1, 9, 10, 32, 127, 128, 255))]) + content[start + 1 :]
    if kind == 2:
        number, size = chance.choice(INTERESTING), chance.choice((2, 4, 8))
        packed = (number % (1 << 8 * size)).to_bytes(size, chance.choice(("little", "big")))
        return content[:start] + packed + content[start + size :]
    if kind == 3:
        return content[:start]
    if kind == 4:
        return content[:end] + content[start:end] * chance.choice((1, 2, 100)) + content[end:]
    if kind == 5:
        return content[:start] + content[end:]
    return content[:start] + chance.randbytes(end - start) + content[start:]


def spliced(chance: random.Random, content: bytes, other: bytes) -> bytes:
    """The beginning of one and the end of the other."""
    return content[: chance.randrange(len(content) + 1)] + other[chance.randrange(len(other) + 1) :]


def with_odd_text(chance: random.Random, content: bytes) -> bytes:
    """A word of a text replaced by an odd one, or a line doubled, left out or moved."""
    lines = content.decode("utf-8", "surrogateescape").splitlines(keepends=True) or [""]
    at = chance.randrange(len(lines))
    kind = chance.randrange(4)
    if kind == 0:
        lines.insert(chance.randrange(len(lines) + 1), lines[at])
    elif kind == 1:
        del lines[at]
    else:
        separator = chance.choice((",", " ", "\n", "/"))
        words = lines[at].split(separator)
        words[chance.randrange(len(words))] = chance.choice(ODD_TEXTS)
        lines[at] = separator.join(words)
    return "".join(lines).encode("utf-8", "surrogateescape")


def with_odd_json(chance: random.Random, content: bytes) -> bytes:
    """A value of a JSON text replaced by an odd one, or a key left out, put in or there twice."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return with_bytes(chance, content)
    holders = list(_holders(tree))
    if not holders:
        return json.dumps(chance.choice(ODD_VALUES)).encode("utf-8", "surrogatepass")
    holder = chance.choice(holders)
    key = chance.choice(list(holder)) if isinstance(holder, dict) else chance.randrange(len(holder))
    kind = chance.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[chance.choice(("", "x", "version", "schema"))] = chance.choice(ODD_VALUES)
    elif kind == 2 and isinstance(holder[key], (int, float)):
        holder[key] = holder[key] * chance.choice((-1, 0, 2, 1e30)) + chance.choice((0, 1, 0.5))
    elif kind == 3 and isinstance(holder, dict):
        text = json.dumps(tree)
        return text.replace(f"{json.dumps(key)}:", f"{json.dumps(key)}: 0, {json.dumps(key)}:", 1).encode()
    else:
        holder[key] = chance.choice(ODD_VALUES)
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def _holders(tree: Any) -> "list[Any]":
    """Every object and list of a JSON tree that holds something."""
    found, left = [], [tree]
    while left:
        at = left.pop()
        if isinstance(at, (dict, list)) and at:
            found.append(at)
            left += at.values() if isinstance(at, dict) else at
    return found


def with_odd_member(change: Change) -> Change:
    """A change to a member of a zip, which is then packed again with its checksum."""

    def changed(chance: random.Random, content: bytes) -> bytes:
        members = unpacked(content)
        if not members:
            return with_bytes(chance, content)
        name = chance.choice(list(members))
        members[name] = (with_odd_json if name.endswith(".json") else change)(chance, members[name])
        return packed(members)

    return changed


def unpacked(content: bytes) -> dict[str, bytes]:
    """The members of a zip; none where it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {entry.filename: archive.read(entry) for entry in archive.infolist() if entry.file_size < 1 << 24}
    except (zipfile.BadZipFile, OSError, ValueError, LookupError, RuntimeError, EOFError, struct.error, zlib.error):
        return {}


def packed(members: dict[str, bytes]) -> bytes:
    """A zip of stored members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(name), member)
    return buffer.getvalue()


def with_odd_npy_header(chance: random.Random, content: bytes) -> bytes:
    """The header of an .npy file with odd words in it, and its length made right."""
    if content[:6] != b"\x93NUMPY" or len(content) < 10:
        return with_bytes(chance, content)
    (length,) = struct.unpack_from("<H", content, 8)
    header = content[10 : 10 + length].decode("latin-1").strip()
    old = chance.choice(("'<f4'", "False", "(24, 32)", "'descr'", "24", "{", "}", "'", "f4", ", "))
    new = chance.choice(ODD_HEADERS)
    header = header.replace(old, new, 1) + "\n"
    return content[:8] + struct.pack("<H", len(header)) + header.encode("latin-1") + content[10 + length :]


def with_odd_png_chunk(chance: random.Random, content: bytes) -> bytes:
    """A chunk of a PNG changed, doubled or left out, and its checksum made right."""
    chunks = _chunks(content)
    if not chunks:
        return with_bytes(chance, content)
    at = chance.randrange(len(chunks))
    kind, body = chunks[at]
    how = chance.randrange(5)
    if how == 0:
        chunks.insert(at, chunks[at])
    elif how == 1:
        del chunks[at]
    elif how == 2:
        chunks.insert(at, (chance.choice((b"tRNS", b"PLTE", b"eXIf", b"zTXt", b"acTL", b"iCCP", b"gAMA")), body))
    else:
        chunks[at] = kind, with_bytes(chance, body)
    return PNG_START + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], len(PNG_START)
    while content.startswith(PNG_START) and at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return found
