"""Recordings of ROS 2, `drive.mcap:/camera/image_raw`: one topic of pictures in a bag, MCAP or SQLite3, by rosbags."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mde_runtime.contract import MAX_SIDE_PX, Intrinsics
from mde_runtime.errors import BadInputError, reason_of
from mde_runtime.ros.messages import CAMERA_INFO, COMPRESSED, IMAGE, Recorded, Storage, intrinsics_of, types
from mde_runtime.sources import NamedFrame, SizedCamera, Source, frame_that_fails
from mde_runtime.sources.ros_images import rgb_of_compressed, rgb_of_image

STORAGE_OF: dict[str, Storage] = {".mcap": "mcap", ".db3": "sqlite3"}
METADATA = "metadata.yaml"
DECODED = {IMAGE: rgb_of_image, COMPRESSED: rgb_of_compressed}


@dataclass(frozen=True)
class _Topic:
    """A topic of pictures in a bag."""

    bag: Path
    storage: Storage
    name: str
    kind: str  # of its messages
    num_messages: int
    frames_per_s: float | None

    @property
    def info(self) -> str:
        """The topic of its CameraInfo, as image_transport names it."""
        camera = self.name.removesuffix("/compressed").rpartition("/")[0]
        return f"{camera}/camera_info"

    def __str__(self) -> str:
        return f"{self.bag}:{self.name}"


def open(source: str) -> Source | None:
    """The pictures of a bag; None where it is none. Raises MachineError where rosbags is not installed.

    Raises BadInputError for a damaged bag, and one that holds no such topic or several where none is named.
    """
    path, asked = _parted(source)
    if not _is_bag(path):
        return None
    with _opened(path) as reader:
        topic = _topic(path, reader, asked)
        first = _first_info(reader, topic)
    stem = path.stem if path.suffix in STORAGE_OF else path.name
    return Source(
        str(topic),
        ((f"{stem}/", str(topic)),),
        topic.num_messages,
        lambda: _frames(topic, stem, first),
        stem,
        camera=_sized(first, topic),
    )


def _parted(source: str) -> tuple[Path, str | None]:
    """Path and topic. A colon that belongs to the path is not followed by a slash."""
    path, colon, topic = source.rpartition(":/")
    return (Path(path), f"/{topic}") if colon and path else (Path(source), None)


def _is_bag(path: Path) -> bool:
    if not path.is_dir():
        return path.suffix in STORAGE_OF
    if (path / METADATA).is_file():
        return True
    if any(next(path.glob(f"*{suffix}"), None) for suffix in STORAGE_OF):
        raise BadInputError(
            f"{path}: a bag without {METADATA}: its recording was cut off; repair it with `ros2 bag reindex`, or "
            "pass the file inside it"
        )
    return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:  # Any: rosbags' reader
    types()
    from rosbags.rosbag2 import Reader

    try:
        reader = Reader(path)
        reader.open()
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such bag; check the path") from error
    except Exception as error:  # rosbags raises whatever its parsing meets: assertions, struct, sqlite3, yaml ...
        raise BadInputError(
            f"{path}: damaged, cut off, or not a bag ({reason_of(error)}); copy it again, or repair it with "
            "`mcap recover` or `ros2 bag reindex`"
        ) from error
    try:
        yield reader
    finally:
        with contextlib.suppress(Exception):  # nothing was written
            reader.close()


def _topic(path: Path, reader: Any, asked: str | None) -> _Topic:
    pictures = {found.topic: found for found in reader.connections if found.msgtype in DECODED}
    listed = ", ".join(pictures) or "none"
    if asked is None and len(pictures) != 1:
        raise BadInputError(f"{path}: choose one image topic: {path}:/TOPIC; it holds {listed}")
    name = asked or next(iter(pictures))
    if name not in pictures:
        raise BadInputError(f"{path}: no topic {name}; its image topics are {listed}")
    found = pictures[name]
    same = [one for one in reader.connections if one.topic == name and one.msgtype == found.msgtype]
    num_messages = sum(one.msgcount for one in same)
    seconds = reader.duration / 1e9
    frames_per_s = (num_messages - 1) / seconds if num_messages > 1 and seconds > 0 else None
    storage = STORAGE_OF.get(path.suffix) or ("mcap" if next(path.glob("*.mcap*"), None) else "sqlite3")
    return _Topic(path, storage, name, found.msgtype, num_messages, frames_per_s)


def _first_info(reader: Any, topic: _Topic) -> Any:  # Any: rosbags' CameraInfo, or None
    connections = [one for one in reader.connections if one.topic == topic.info and one.msgtype == CAMERA_INFO]
    try:
        for _, _, raw in reader.messages(connections) if connections else ():
            return types().deserialize_cdr(raw, CAMERA_INFO)
    except Exception as error:  # as above
        raise BadInputError(f"{topic.bag}: {topic.info} is damaged ({reason_of(error)}); copy the bag again") from error
    return None


def _sized(info: Any, topic: _Topic) -> SizedCamera | None:
    """The camera at the size that its CameraInfo states."""
    if info is None or not (0 < info.width <= MAX_SIDE_PX and 0 < info.height <= MAX_SIDE_PX):
        return None
    camera = intrinsics_of(info, topic.name, info.height, info.width)
    return None if camera is None else SizedCamera(camera, info.height, info.width)


def _frames(topic: _Topic, stem: str, first: Any) -> Iterator[NamedFrame]:
    """The pictures in order, each with its header and the CameraInfo before it, or the first.

    Where one is damaged, or the bag ends early, that frame says so.
    """
    index, info, problem = 0, first, ""
    with _opened(topic.bag) as reader:
        connections = [one for one in reader.connections if one.topic in (topic.name, topic.info)]
        messages = reader.messages(connections)
        while True:
            try:
                found = next(messages, None)
            except Exception as error:  # noqa: BLE001  as above
                problem = f"broken at frame {index} ({reason_of(error)}); the frames before it are done"
                break
            if found is None:
                break
            connection, log_ns, raw = found
            if connection.topic == topic.info:
                info = _deserialised(raw, CAMERA_INFO) or info
            elif connection.msgtype == topic.kind:
                yield _frame(topic, f"{stem}/{index:06d}", stem, log_ns, raw, info, index)
                index += 1
    if not problem and index < topic.num_messages:
        problem = f"ends early, at frame {index} of {topic.num_messages}; those are done, copy it again for the rest"
    if problem:
        yield frame_that_fails(f"{stem}/{index:06d}", stem, BadInputError(f"{topic}: {problem}"), topic.frames_per_s)


def _deserialised(raw: bytes, kind: str) -> Any:  # Any: rosbags' message, or None for damage
    try:
        return types().deserialize_cdr(raw, kind)
    except Exception:  # noqa: BLE001  as above
        return None


def _frame(topic: _Topic, name: str, stem: str, log_ns: int, raw: bytes, info: Any, index: int) -> NamedFrame:
    where = f"{topic}: frame {index}"
    message = _deserialised(raw, topic.kind)
    if message is None:
        problem = BadInputError(f"{where} is damaged; copy the bag again")
        return frame_that_fails(name, stem, problem, topic.frames_per_s)

    def read() -> Any:
        try:
            return DECODED[topic.kind](message)
        except BadInputError as error:
            raise BadInputError(f"{where}: {error}") from error

    def camera(height_px: int, width_px: int) -> Intrinsics | None:
        return intrinsics_of(info, topic.name, height_px, width_px)

    recorded = Recorded(topic.storage, topic.name, log_ns, message.header, info)
    return NamedFrame(name, read, stem, topic.frames_per_s, recorded=recorded, measured_camera=camera)
