"""The jobs of the train part, by name and by group: each a training, an export and a judgement."""

from dataclasses import asdict, dataclass, replace
from typing import Literal

from lab.gpu_check.request import Rehearsal
from mde_runtime.errors import UsageError
from mde_runtime.precision import Precision
from mde_train.recipe import NOTHING

Group = Literal["recipes", "long", "ablations", "pretraining"]
SEED_MODEL = "resnet34-seed"
ABLATION_EPOCHS = 20
SEEDS = (0, 1)
# What each takes from the whole recipe of `resnet34-skip`, or adds to it; the number of steps stays the same.
VARIANTS = {
    "whole": (),
    "no-augmentation": tuple(f"augment.{name}={value}" for name, value in asdict(NOTHING).items()),
    "seed-loss": ("loss=seed",),
    "linear-head": ("model_options.has_range=false",),
    "no-skips": ("model_options.has_skips=false",),
    "pretrained": (),
}


@dataclass(frozen=True)
class Job:
    """A training and what follows it. reckoned_s: on a GPU that trains as fast as an H200 is hoped to."""

    name: str
    group: Group
    recipe: str
    settings: tuple[str, ...]
    reckoned_s: float
    lowered: tuple[Precision, ...] = ()  # precisions beside FP32
    begins_from: str | None = None  # a job whose weights it starts from
    is_on_scenes: bool = False  # trained on synthetic scenes and not on the data: others begin from it
    is_timed: bool = False  # its bundle has a place in the picture of accuracy against latency


LONG = ("precision=bf16", "evaluate_every_epochs=20", "epochs=240")


def _recipe(name: str, reckoned_s: float, *settings: str) -> Job:
    return Job(name, "recipes", name, settings, reckoned_s, ("fp16", "int8"), is_timed=True)


PRETRAINING = Job(
    "scenes", "pretraining", "resnet34-skip", (f"epochs={ABLATION_EPOCHS}", "precision=bf16"), 180, is_on_scenes=True
)
JOBS = (
    # Judging 600 frames takes the CPU as long as some epochs take the GPU, so that is done more seldom.
    _recipe("fast", 360, "precision=bf16", "evaluate_every_epochs=8"),
    _recipe("resnet34-skip", 600, "precision=bf16", "evaluate_every_epochs=10"),
    # FP32, as published; from random weights, so that none of them may stay frozen
    _recipe(SEED_MODEL, 600, "model_options.is_frozen=false", "evaluate_every_epochs=20"),
    replace(_recipe("resnet34-skip", 1800, *LONG), name="resnet34-skip-240", group="long"),
    PRETRAINING,
    *(
        Job(
            f"{variant}-{seed}",
            "ablations",
            "resnet34-skip",
            (*settings, f"seed={seed}", f"epochs={ABLATION_EPOCHS}", "precision=bf16", "evaluate_every_epochs=10"),
            240,
            begins_from=PRETRAINING.name if variant == "pretrained" else None,
        )
        for seed in SEEDS
        for variant, settings in VARIANTS.items()
    ),
)


def jobs_of(names: str | None, rehearsal: Rehearsal | None = None) -> tuple[Job, ...]:
    """The jobs of these names and groups, in the table's order; what one begins from comes along. None: recipes.

    Raises UsageError for a name that is neither.
    """
    asked = set((names or "recipes").split(","))
    known = {job.name for job in JOBS} | {job.group for job in JOBS}
    if unknown := sorted(asked - known):
        raise UsageError(f"no job {unknown[0]!r}; there are {', '.join(sorted(known))}")
    chosen = [job for job in JOBS if {job.name, job.group} & asked]
    needed = {job.begins_from for job in chosen}
    chosen = [job for job in JOBS if job in chosen or job.name in needed]
    return tuple(replace(job, settings=(*job.settings, *rehearsal.settings)) if rehearsal else job for job in chosen)
