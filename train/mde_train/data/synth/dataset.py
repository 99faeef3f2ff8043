"""Write the data set: whole frames only, on every core, going on where an interrupted run ended."""

import contextlib
import io
import itertools
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from mde_runtime import records
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.files import read_small, write_bytes, write_text
from mde_runtime.progress import progress
from mde_train.data.synth.drive import make_drive
from mde_train.data.synth.frames import Kind, make_frame, split_of
from mde_train.data.synth.render import Rendered
from mde_train.data.synth.scene import LENS, Lens

MARKER = "synth.json"
GENERATOR = "mde-synth 1"  # counts up when the same seed gives other frames
JPEG_QUALITY = 95
CHUNK = 8  # frames that a worker makes at a time


@dataclass(frozen=True)
class Marker:
    """What a folder of synthetic frames was made with: `synth.json`."""

    generator: str
    seed: int
    num_frames: int
    lens: Lens = LENS
    kind: Kind = "all"
    drive_frames: int = 1  # of each scene; more than one: a drive through it

    def in_words(self) -> str:
        """What makes frames the same, for a person."""
        lens = self.lens
        size = f"{lens.height_px}x{lens.width_px} px, focal length {lens.focal_px:g} px"
        drives = f", drives of {self.drive_frames} frames" if self.drive_frames > 1 else ""
        return f"{self.generator} with seed {self.seed}, {size}, scenes {self.kind}{drives}"

    def split_of(self, index: int) -> str:
        """The split of a frame: a drive is in one as a whole."""
        return split_of(index // self.drive_frames)

    def files(self, folder: Path, index: int) -> tuple[Path, Path]:
        """A frame's picture and depth."""
        split = self.split_of(index)
        return folder / "rgb" / split / f"{index}.jpeg", folder / "depth" / split / f"{index}.npy"


def synthesise(
    folder: Path, num_frames: int, seed: int, lens: Lens = LENS, kind: Kind = "all", drive_frames: int = 1
) -> int:
    """Make frames 0 to num_frames - 1 in the folder; give the number that were not there yet.

    drive_frames: of each scene; with more than one the camera moves through it, and the frames are whole drives.
    Frames that a run before this one finished are kept. Raises BadInputError when the folder holds anything else.
    """
    if num_frames < 1 or seed < 0:
        raise UsageError(f"frames {num_frames}, seed {seed}: at least 1 frame, and a seed of 0 or more")
    if num_frames % drive_frames:
        raise UsageError(
            f"{num_frames} frames are not a whole number of drives of {drive_frames}; use a multiple of that"
        )
    marker = Marker(GENERATOR, seed, num_frames, lens, kind, drive_frames)
    _claim(folder, marker)
    missing = [index for index in range(num_frames) if not marker.files(folder, index)[0].exists()]
    chunks = _chunks(missing, drive_frames)
    with _workers(len(chunks)) as pool, progress("synthesising", total=len(missing)) as advance:
        futures = [pool.submit(_write_frames, folder, marker, chunk) for chunk in chunks]
        for future in as_completed(futures):
            for _ in range(future.result()):
                advance()
    return len(missing)


def _chunks(missing: list[int], drive_frames: int) -> list[list[int]]:
    """What a worker makes at a time: some stills, or what is missing of one drive."""
    if drive_frames == 1:
        return [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
    return [list(drive) for _, drive in itertools.groupby(missing, key=lambda index: index // drive_frames)]


def _claim(folder: Path, marker: Marker) -> None:
    """Write the marker, or find that the folder is another's."""
    path = folder / MARKER
    if path.exists():
        there = _read_marker(path)
        if replace(there, num_frames=marker.num_frames) != marker:
            raise BadInputError(
                f"{folder}: holds frames of {there.in_words()}, not of {marker.in_words()}; choose another folder, or "
                "remove this one"
            )
        if there.num_frames > marker.num_frames:
            raise BadInputError(
                f"{folder}: holds {there.num_frames} frames, more than {marker.num_frames}; choose another folder"
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInputError(f"{folder}: not empty, and not made by mde-data synth; choose another folder")
    write_text(path, records.dumps(marker))


def _read_marker(path: Path) -> Marker:
    """The marker; one without a lens, a kind and drives was written before these could be chosen."""
    content = records.parse(read_small(path), str(path))
    if isinstance(content, dict):
        content = {"lens": records.to_json(LENS), "kind": "all", "drive_frames": 1} | content
    return records.from_json(Marker, content, str(path))


@contextlib.contextmanager
def _workers(num_chunks: int) -> Iterator[ProcessPoolExecutor]:
    """A process for each core; on Ctrl-C or an error they finish the frame in hand and start no other."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ProcessPoolExecutor(
        max_workers=max(1, min(num_cores, num_chunks)),
        mp_context=multiprocessing.get_context("spawn"),  # fork would copy whatever threads the caller has
        initializer=_ignore_interrupt,
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the work in order


def _write_frames(folder: Path, marker: Marker, indices: list[int]) -> int:
    drive: list[Rendered] = []
    if marker.drive_frames > 1:
        number = indices[0] // marker.drive_frames
        drive = make_drive(marker.seed, number, marker.drive_frames, marker.lens, marker.kind)
    for index in indices:
        is_still = marker.drive_frames == 1
        rendered = (
            make_frame(marker.seed, index, marker.lens, marker.kind) if is_still else drive[index % marker.drive_frames]
        )
        frame_file, depth_file = marker.files(folder, index)
        depth, frame = io.BytesIO(), io.BytesIO()  # numpy writing to a file itself hides that a disk is full
        np.save(depth, rendered.depth_m)
        Image.fromarray(rendered.frame).save(frame, format="JPEG", quality=JPEG_QUALITY)
        write_bytes(depth_file, depth.getvalue())
        write_bytes(frame_file, frame.getvalue())  # last: where the picture is, the frame is whole
    return len(indices)
