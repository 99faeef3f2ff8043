"""The cost of a camera's gain over the bare backend, and whether bags give back the depth that went in.

    .venv/bin/python -m lab.own_camera model.mde DATA

Estimator and backend take turns on the same frames, each with a backend of its own and one thread. Their cost is
processor time, so that a busy machine disturbs neither much.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mcap_ros2.reader import read_ros2_messages
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from mde_bench.accuracy.frames import as_the_camera_gives_it, held_out
from mde_runtime.backends import Session, open_session
from mde_runtime.bundle import Bundle, read_bundle
from mde_runtime.camera.calibration import Calibration, HeldOut
from mde_runtime.estimator import DepthEstimator
from mde_runtime.predict import predict
from mde_runtime.ros.messages import IMAGE, header_at, types
from mde_runtime.sources import open_sources

Frames = list[npt.NDArray[np.uint8]]
NUM_TURNS, NUM_FRAMES = 400, 200
STEP_NS = 33_333_333
GAIN = 1.25
NO_ERRORS = HeldOut(
    num_points=0,
    num_pictures=0,
    abs_log_before=0,
    abs_log=0,
    abs_before_m=0,
    abs_m=0,
    rmse_before_m=0,
    rmse_m=0,
)


def main(bundle: Path, data: Path) -> None:
    """Print both."""
    opened = read_bundle(bundle)
    samples = held_out(data, None)
    chosen = range(min(NUM_FRAMES, len(samples)))
    frames = [as_the_camera_gives_it(samples[index], opened.contract.source) for index in chosen]
    for line in (*overhead(opened, frames), *bags(bundle, frames)):
        sys.stdout.write(f"{line}\n")


def overhead(bundle: Bundle, frames: Frames) -> Iterator[str]:
    """The median and the quartiles of (estimator - backend), frame by frame, with a gain and without."""
    source = bundle.contract.source
    calibration = Calibration(
        bundle_sha256=bundle.sha256,
        height_px=source.height_px,
        width_px=source.width_px,
        gain=GAIN,
        intrinsics=None,
        heldout=NO_ERRORS,
    )
    for name, known in (("plain", None), ("with a gain", calibration)):
        with DepthEstimator.open(bundle.path, calibration=known, num_threads=1) as estimate:
            graph = bundle.graph(estimate.choice.precision)
            session = open_session(estimate.choice.backend, graph, num_threads=1)
            differences_ms, bare_ms = [], []
            for turn in range(NUM_TURNS):
                frame = frames[turn % len(frames)]
                if turn % 2:
                    bare, ours = _ms(_fed(session), frame), _ms(estimate, frame)
                else:
                    ours, bare = _ms(estimate, frame), _ms(_fed(session), frame)
                bare_ms.append(bare)
                differences_ms.append(ours - bare)
            session.close()
            low, middle, high = statistics.quantiles(differences_ms, n=4)
            yield (
                f"{name}: {middle:+.3f} ms of processor time over the bare {estimate.choice.backend} (quartiles "
                f"{low:+.3f}, {high:+.3f}), which takes {statistics.median(bare_ms):.2f} ms; {NUM_TURNS} turns"
            )


def _fed(session: Session) -> Callable[[npt.NDArray[np.uint8]], object]:
    return lambda frame: session.run({"frame": frame[None]})


def _ms(run: Callable[[npt.NDArray[np.uint8]], object], frame: npt.NDArray[np.uint8]) -> float:
    start = time.process_time_ns()
    run(frame)
    return (time.process_time_ns() - start) / 1e6


def bags(bundle: Path, frames: Frames) -> Iterator[str]:
    """Frames to a bag, that to one of depth, and its depth beside the estimator's, for both storages."""
    with tempfile.TemporaryDirectory() as folder, DepthEstimator.open(bundle) as estimate:
        expected_m = [estimate(frame) for frame in frames]
        for storage in ("mcap", "sqlite3"):
            for kind in ("bag", "bag16"):
                source, out = Path(folder) / storage, Path(folder) / f"{storage}-{kind}"
                if not source.exists():
                    _record(source, frames, storage)
                for _ in predict(estimate, open_sources([str(source)]), out, (kind,)):
                    pass
                depths = list(_depths(out / f"{storage}.depth"))
                worst_m = max(float(np.abs(a - b).max()) for a, b in zip(depths, expected_m, strict=True))
                size_in, size_out = (_size(path) for path in (source, out))
                yield (
                    f"{storage}, {kind}: {len(frames)} messages of {size_in} bytes in, {len(depths)} of {size_out} "
                    f"bytes out, worst difference {worst_m * 1e3:.4f} mm"
                )


def _record(bag: Path, frames: Frames, storage: str) -> None:
    with Writer(bag, version=8, storage_plugin=StoragePlugin[storage.upper()]) as recording:
        topic = recording.add_connection("/camera/image_raw", IMAGE, typestore=types())
        for index, frame in enumerate(frames):
            height_px, width_px, _ = frame.shape
            header = header_at(index * STEP_NS, "camera")
            message = types().types[IMAGE](
                header, height_px, width_px, "rgb8", 0, 3 * width_px, np.ascontiguousarray(frame).reshape(-1)
            )
            recording.write(topic, index * STEP_NS, types().serialize_cdr(message, IMAGE))


def _depths(bag: Path) -> Iterator[npt.NDArray[np.float32]]:
    """By mcap and mcap-ros2-support, which are none of ours; SQLite3 by rosbags."""
    found = next(bag.glob("*.mcap"), None)
    if found is not None:
        messages = [one.ros_msg for one in read_ros2_messages(found) if one.schema.name == IMAGE]
    else:
        with Reader(bag) as reader:
            images = [one for one in reader.connections if one.msgtype == IMAGE]
            messages = [types().deserialize_cdr(raw, IMAGE) for *_, raw in reader.messages(images)]
    for message in messages:
        is_metres = message.encoding == "32FC1"
        values = np.frombuffer(bytes(message.data), np.float32 if is_metres else np.uint16)
        depth_m = values.reshape(message.height, message.width)
        yield np.nan_to_num(depth_m) if is_metres else depth_m.astype(np.float32) / np.float32(1000)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
