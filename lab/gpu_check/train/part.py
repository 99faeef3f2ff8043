"""The train part: long runs in as many calls as it takes, each exported and judged by its bundle.

A call works on the first job that is not done until its minutes are over, stops it as Ctrl-C would, and the next call
goes on. What is done lies in OUT/train/NAME: run/ (checkpoints, curves), model.mde, judged.json.
"""

import csv
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.gpu_check.clock import Clock
from lab.gpu_check.commands import Invocation
from lab.gpu_check.lines import Line
from lab.gpu_check.request import Request
from lab.gpu_check.train.jobs import Job, jobs_of
from lab.gpu_check.train.judging import FinishedJob, line_of, read_judged, write_judged
from lab.gpu_check.train.pareto import write_picture
from mde_runtime.errors import INTERRUPTED, MachineError, VerdictError

PART = "train"
NUM_SCENES = 4000  # to pretrain on: every fifth is held out
SAVE_S = 30.0  # what stopping a run and writing its checkpoint may take
POLL_S = 0.5
FOLLOWS_S = 100.0  # reckoned: export and judging


@dataclass(frozen=True)
class Place:
    """Where a job's files are."""

    folder: Path

    @property
    def run(self) -> Path:
        """The run of mde-train."""
        return self.folder / "run"

    @property
    def is_trained(self) -> bool:
        """Whether the run came to its end."""
        return (self.folder / "trained").exists()

    @property
    def judged(self) -> Path:
        """What is known of it when it is done."""
        return self.folder / "judged.json"


def train_lines(request: Request, clock: Clock) -> Iterator[Line]:
    """Go on with the jobs; a line for each, and the picture of all that are done."""
    jobs = jobs_of(request.jobs, request.rehearsal)
    scenes = request.out / "scenes"
    if request.rehearsal or any(job.is_on_scenes for job in jobs):
        num_scenes = request.rehearsal.num_scenes if request.rehearsal else NUM_SCENES
        Invocation("mde-data", "synth", scenes, "--frames", num_scenes, "--seed", 1).run()  # goes on where it was
    data = request.data or (scenes if request.rehearsal else None)
    if data is None:
        raise MachineError("give the frames to train on: DATA=DIR")
    for job in jobs:
        yield _line_of_job(job, scenes if job.is_on_scenes else data, request.out / "train", clock)
    write_picture(request.out / "train")


def _line_of_job(job: Job, data: Path, folder: Path, clock: Clock) -> Line:
    """Go on with a job where there is time, and say how far it is."""
    place = Place(folder / job.name)
    if place.judged.exists():
        return line_of(job, read_judged(place.judged))
    try:
        if not place.is_trained:
            _train(job, data, place, folder, clock)
        if not place.is_trained:
            return Line(PART, job.name, "absent", _progress(place.run), "training to go on; call again")
        if job.is_on_scenes:
            return Line(PART, job.name, "passed", _progress(place.run), "trained on scenes; others begin from it")
        if clock.left_s() < FOLLOWS_S:
            return Line(PART, job.name, "absent", _progress(place.run), "trained, not judged yet; call again")
        judged = FinishedJob.of_export(job, data, place.run / "best.ckpt", place.folder)
    except VerdictError as error:
        return Line(PART, job.name, "failed", _progress(place.run), str(error))
    write_judged(judged, place.judged)
    return line_of(job, judged)


def _train(job: Job, data: Path, place: Place, folder: Path, clock: Clock) -> None:
    """Begin or go on, until the run is over or the time is up; nothing where what it begins from is not there yet."""
    if clock.left_s() < 2 * SAVE_S or (job.begins_from and not Place(folder / job.begins_from).is_trained):
        return
    if (place.run / "last.ckpt").exists():
        arguments: tuple[object, ...] = ("--resume",)
    else:
        settings = [word for setting in job.settings for word in ("--set", setting)]
        first = ("--init", Place(folder / job.begins_from).run / "best.ckpt") if job.begins_from else ()
        arguments = ("--recipe", job.recipe, *settings, *first)
    command = Invocation("mde-train", "--data", data, "--out", place.run, *arguments)
    process = command.start()
    while process.poll() is None and clock.left_s() > SAVE_S:
        time.sleep(POLL_S)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)  # it ends its step and saves
    code = process.wait()
    command.check(code, (0, INTERRUPTED))
    if code == 0:
        (place.folder / "trained").touch()


def _progress(run: Path) -> dict[str, float]:
    """How far a run came, from its curves."""
    curves = run / "curves.csv"
    if not curves.exists():
        return {}
    last: dict[str, float] = {}
    with curves.open() as file:
        for row in csv.DictReader(file):
            last |= {"step": float(row["step"]), "minutes": float(row["minutes"]), row["name"]: float(row["value"])}
    return {name: last[name] for name in ("step", "minutes", "val_rmse_m", "val_ssim") if name in last}
