"""Depth as a recording of ROS 2: an Image and a CameraInfo for each frame, with the stamps and frame ids of its source.

A frame's messages are kept in a part of their own until all of a film are there; the bag is made of them then, whole or
not at all. So an interrupted run loses no frame, and `--resume` goes on from the parts.
"""

import contextlib
import functools
import io
import shutil
import tempfile
import zipfile
from collections import defaultdict, deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mde_runtime.contract import Distance
from mde_runtime.errors import BadInputError, UsageError, reason_of
from mde_runtime.files import write_bytes
from mde_runtime.rays import ray_per_z
from mde_runtime.ros.messages import (
    CAMERA_INFO,
    IMAGE,
    STORAGES,
    Storage,
    camera_info,
    depth_image,
    encoding_of,
    header_at,
    types,
)
from mde_runtime.sinks import Prediction, Write, Writing
from mde_runtime.sinks.png16 import check_millimetres

SUFFIX, PARTS = ".depth", ".depth.parts"  # of a film's bag, and of its parts
FRAMES = "frames.txt"  # in a bag, beside what ROS reads: the names of its frames, in order
CAMERA = "/camera"  # where the source is no recording
FRAMES_PER_S = 10.0  # where the source is a folder of pictures


@dataclass(frozen=True)
class _Part:
    """A frame's serialised messages."""

    name: str
    storage: Storage
    camera: str  # the namespace of its topics
    log_ns: int
    image: bytes
    info: bytes  # empty: no camera is known

    def dumps(self) -> bytes:
        """As a stored zip."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for key, value in (("about", f"{self.log_ns} {self.storage} {self.camera}".encode()), *self._messages()):
                archive.writestr(key, value)
        return buffer.getvalue()

    def _messages(self) -> tuple[tuple[str, bytes], ...]:
        return ("image", self.image), ("info", self.info)

    @classmethod
    def loads(cls, path: Path) -> "_Part":
        """Of a part's file. Raises BadInputError where it is damaged."""
        try:
            with zipfile.ZipFile(path) as archive:
                log_ns, storage, camera = archive.read("about").decode().split(" ", 2)
                image, info = archive.read("image"), archive.read("info")
            found = next(kind for kind in STORAGES if kind == storage)
        except (zipfile.BadZipFile, ValueError, LookupError, StopIteration, OSError) as error:
            raise BadInputError(f"{path}: a damaged bag part ({error}); remove it and resume again") from error
        return cls(path.stem, found, camera, int(log_ns), image, info)  # type: ignore[arg-type]  # a literal of STORAGES


@contextlib.contextmanager
def writer(out: Path, writing: Writing, *, in_millimetres: bool = False) -> Iterator[Write]:
    """Write the bag `FILM.depth` below `out`: Image 32FC1 in metres, NaN for no measurement, and CameraInfo.

    Depth along rays becomes z-depth, which is what an Image of depth holds (REP 118).
    """
    types()  # says now that rosbags is missing, not after the first frame
    begun: list[str] = []  # films, the last of which is being written

    def write(prediction: Prediction) -> Path:
        if in_millimetres:
            check_millimetres(prediction)
        if prediction.film not in begun[-1:]:
            if begun:
                _assemble(out, begun[-1])
            _begin(out, prediction.film, resume=writing.resume)
            begun.append(prediction.film)
        part = _part_of(prediction, _z_of(prediction, writing.distance), in_millimetres=in_millimetres)
        write_bytes(_parts(out, prediction.film) / f"{part.name}.part", part.dumps())
        return _bag(out, prediction.film)

    yield write
    if begun:
        _assemble(out, begun[-1])
    for left in sorted(out.rglob(f"*{PARTS}")) if writing.resume else ():  # all was there when the run before ended
        _assemble(out, str(left.relative_to(out)).removesuffix(PARTS))


def has_result(out: Path, film: str, name: str, *, in_millimetres: bool = False) -> bool:
    """Whether a frame's depth is in its film's bag, or in a part of it.

    Raises BadInputError where that depth is in the other unit: one topic would hold both.
    """
    found = _encoding_in(_bag(out, film), _parts(out, film))
    if found not in ("", encoding := encoding_of(in_millimetres=in_millimetres)):
        raise BadInputError(
            f"{_bag(out, film)}: holds depth as {found}, and {encoding} cannot be added to it; resume with the same "
            "--format, or write to another folder"
        )
    return (_parts(out, film) / f"{Path(name).name}.part").is_file() or Path(name).name in _frames_of(_bag(out, film))


def _bag(out: Path, film: str) -> Path:
    return out / f"{film}{SUFFIX}"


def _parts(out: Path, film: str) -> Path:
    return out / f"{film}{PARTS}"


@functools.lru_cache(maxsize=8)
def _frames_of(bag: Path) -> tuple[str, ...]:
    """The names of the frames of a bag that is there, in order."""
    try:
        return tuple((bag / FRAMES).read_text().splitlines())
    except OSError:
        return ()


@functools.lru_cache(maxsize=8)
def _encoding_in(bag: Path, parts: Path) -> str:
    """The encoding of the depth in a bag that is there, or else in its parts; empty where neither holds any."""
    if (bag / FRAMES).is_file():
        with contextlib.closing(_taken_apart(bag)) as taken:
            first = next(taken, None)
    else:
        path = next(parts.glob("*.part"), None)
        first = None if path is None else _Part.loads(path)
    return "" if first is None else str(types().deserialize_cdr(first.image, IMAGE).encoding)


def _begin(out: Path, film: str, *, resume: bool) -> None:
    """Lay the parts of a film: none, or with resume those of the run before and of its bag."""
    bag, parts = _bag(out, film), _parts(out, film)
    if bag.exists() and not (bag / FRAMES).is_file():
        raise BadInputError(f"{bag}: exists and is not a bag from mde-predict; write to another folder, or remove it")
    if not resume and parts.is_dir():
        shutil.rmtree(parts)
    parts.mkdir(parents=True, exist_ok=True)
    if resume and bag.is_dir():
        for part in _taken_apart(bag):
            path = parts / f"{part.name}.part"
            if not path.exists():
                write_bytes(path, part.dumps())


def _z_of(prediction: Prediction, distance: Distance) -> npt.NDArray[np.float32]:
    """The z-depth of a frame, metres. Raises UsageError where it is along rays and no camera is known."""
    if distance == "z":
        return prediction.depth_m
    if prediction.camera is None:
        raise UsageError(
            f"{prediction.name}: this bundle's depth is along each pixel's ray, and a bag holds z-depth, which needs "
            "the camera; pass --intrinsics or --focal-px"
        )
    height_px, width_px = prediction.depth_m.shape
    columns, rows = np.meshgrid(np.arange(width_px), np.arange(height_px))
    return (prediction.depth_m / ray_per_z(prediction.camera, columns, rows)).astype(np.float32)


def _part_of(prediction: Prediction, z_m: npt.NDArray[np.float32], *, in_millimetres: bool) -> _Part:
    recorded, name = prediction.recorded, Path(prediction.name).name
    if recorded is None:
        log_ns = round(prediction.index / (prediction.frames_per_s or FRAMES_PER_S) * 1e9)
        header, known, storage, camera = header_at(log_ns, "camera"), None, STORAGES[0], CAMERA
    else:
        log_ns, header, known, storage = recorded.log_ns, recorded.header, recorded.camera_info, recorded.storage
        camera = recorded.topic.removesuffix("/compressed").rpartition("/")[0]
    height_px, width_px = z_m.shape
    return _Part(
        name,
        storage,  # type: ignore[arg-type]  # a literal of STORAGES
        camera,
        log_ns,
        depth_image(z_m, header, in_millimetres=in_millimetres),
        camera_info(header, known, prediction.camera, height_px, width_px),
    )


def _assemble(out: Path, film: str) -> None:
    """Make a film's bag of its parts, in the order of the recording, and let these go."""
    parts, bag = _parts(out, film), _bag(out, film)
    paths = sorted(parts.glob("*.part"))
    if not paths:
        shutil.rmtree(parts, ignore_errors=True)
        return
    with tempfile.TemporaryDirectory(prefix=f".{bag.name}-", dir=bag.parent) as folder:
        draft, before = Path(folder) / bag.name, Path(folder) / "before"
        _record(draft, paths)
        if bag.exists():
            bag.rename(before)
        draft.rename(bag)
    shutil.rmtree(parts)
    _frames_of.cache_clear()
    _encoding_in.cache_clear()


def _record(bag: Path, paths: list[Path]) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer

    first = _Part.loads(paths[0])
    plugin = StoragePlugin[first.storage.upper()]
    with Writer(bag, version=8, storage_plugin=plugin) as recording:  # 8: older readers know it
        depth = recording.add_connection(f"{first.camera}/depth/image_raw", IMAGE, typestore=types())
        infos = None
        for path in paths:
            part = _Part.loads(path)
            recording.write(depth, part.log_ns, part.image)
            if part.info:
                topic = f"{first.camera}/depth/camera_info"
                infos = infos or recording.add_connection(topic, CAMERA_INFO, typestore=types())
                recording.write(infos, part.log_ns, part.info)
    (bag / FRAMES).write_text("".join(f"{path.stem}\n" for path in paths))


def _taken_apart(bag: Path) -> Generator[_Part, None, None]:
    """The parts that a bag of ours was made of."""
    from rosbags.rosbag2 import Reader

    names = iter(_frames_of(bag))
    storage: Storage = "mcap" if next(bag.glob("*.mcap"), None) else "sqlite3"
    try:
        with Reader(bag) as reader:
            images = [one for one in reader.connections if one.msgtype == IMAGE]
            infos = [one for one in reader.connections if one.msgtype == CAMERA_INFO]
            camera = images[0].topic.removesuffix("/depth/image_raw")
            info_at: dict[int, deque[bytes]] = defaultdict(deque)  # not every frame's camera need be known
            for _, log_ns, info in reader.messages(infos) if infos else ():
                info_at[log_ns].append(bytes(info))
            for _, log_ns, image in reader.messages(images):
                known = info_at[log_ns]
                yield _Part(next(names), storage, camera, log_ns, bytes(image), known.popleft() if known else b"")
    except Exception as error:  # rosbags raises whatever its parsing meets
        raise BadInputError(f"{bag}: a damaged bag ({reason_of(error)}); remove it and predict again") from error
