"""The train part of `make gpu-check`, and its table of robustness, on a CPU."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from lab.gpu_check.clock import Clock
from lab.gpu_check.request import Rehearsal, Request
from lab.gpu_check.robustness import CHANGES, lines_of_bundle
from lab.gpu_check.train.jobs import JOBS, SEED_MODEL, SEEDS, VARIANTS, jobs_of
from lab.gpu_check.train.pareto import Point, picture
from lab.gpu_check.train.part import Place, train_lines
from mde_runtime.errors import MachineError, UsageError
from mde_train.recipe import NOTHING, with_settings
from mde_train.recipes import recipe_named


def test_without_a_name_the_three_recipes_are_trained():
    assert [job.name for job in jobs_of(None)] == ["fast", "resnet34-skip", SEED_MODEL]


def test_a_job_brings_the_one_that_it_begins_from_before_it():
    assert [job.name for job in jobs_of("pretrained-1")] == ["scenes", "pretrained-1"]


def test_a_name_that_is_no_job_is_wrong_usage():
    with pytest.raises(UsageError, match="no job 'slow'"):
        jobs_of("fast,slow")


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_every_jobs_settings_are_ones_of_its_recipe(job):
    recipe = with_settings(recipe_named(job.recipe), job.settings)
    assert recipe.epochs > 1


def test_ablations_differ_in_one_thing_and_in_nothing_that_counts_steps():
    recipes = {
        (variant, seed): with_settings(recipe_named(job.recipe), job.settings)
        for variant in VARIANTS
        for seed in SEEDS
        for job in jobs_of(f"{variant}-{seed}")[-1:]
    }
    for (variant, seed), recipe in recipes.items():
        whole = recipes["whole", seed]
        assert (recipe.epochs, recipe.batch_size) == (whole.epochs, whole.batch_size)
        changed = [field.name for field in dataclasses.fields(recipe)
                   if getattr(recipe, field.name) != getattr(whole, field.name)]  # fmt: skip
        assert len(changed) == (0 if variant in ("whole", "pretrained") else 1)


def test_no_augmentation_is_none():
    job = jobs_of("no-augmentation-0")[-1]
    assert with_settings(recipe_named(job.recipe), job.settings).augment == NOTHING


@pytest.fixture
def walls(tmp_path):
    """Frames whose brightness tells the depth: learned in seconds. 24 to train on, 64 to judge on, 32x64 px."""
    root, chance = tmp_path / "walls", np.random.default_rng(0)
    for split, num_frames in (("train", 24), ("val", 64)):
        for kind in ("rgb", "depth"):
            (root / kind / split).mkdir(parents=True)
        for number in range(num_frames):
            depth_m = np.repeat(np.linspace(*chance.uniform(1, 19, 2), 64, dtype=np.float32)[None], 32, axis=0)
            frame = np.repeat((255 - 12 * depth_m).astype(np.uint8)[..., None], 3, axis=2)
            Image.fromarray(frame).save(root / "rgb" / split / f"{number}.jpeg")
            np.save(root / "depth" / split / f"{number}.npy", depth_m)
    return root


class UntilSteps(Clock):
    """A clock whose time is up when so many lines more stand in a run's curves."""

    def __init__(self, curves, num_more):
        super().__init__(minutes=5)
        self._curves, self._enough = curves, self._num_lines(curves) + num_more

    def left_s(self):
        return super().left_s() if self._num_lines(self._curves) < self._enough else 0.0

    @staticmethod
    def _num_lines(curves):
        return len(curves.read_text().splitlines()) if curves.exists() else 0


@pytest.mark.slow
def test_a_run_is_stopped_when_its_time_is_up_and_the_next_call_goes_on(tmp_path, walls):
    endless = Rehearsal(num_scenes=2, settings=("epochs=100000", "batch_size=8", "precision=fp32"))
    request = Request(tmp_path, data=walls, jobs="fast", rehearsal=endless)
    place = Place(tmp_path / "train" / "fast")
    steps = []
    for _ in range(2):
        (line,) = train_lines(request, UntilSteps(place.run / "curves.csv", 4))
        assert (line.verdict, line.detail) == ("absent", "training to go on; call again")
        steps.append(line.figures["step"])
    assert 0 < steps[0] < steps[1]
    assert (place.run / "last.ckpt").exists()
    assert not place.is_trained


def test_training_without_data_says_what_to_give(tmp_path):
    with pytest.raises(MachineError, match="DATA=DIR"):
        list(train_lines(Request(tmp_path, jobs="fast"), Clock(1)))


POINTS = [Point(SEED_MODEL, "seed", 8.0, 2.8), Point("fast", "fast", 1.0, 2.9), Point("slow", "slow", 9.0, 3.0)]


def test_the_seed_is_marked_in_the_picture():
    drawn = picture(POINTS)
    assert drawn.count('class="seed"') == 1
    assert drawn.count('class="mark"') == 2
    assert {"fast", "slow"} <= set(drawn.replace("<", ">").split(">"))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_gives_a_frame_again_and_the_same_one_each_time(tiny_frames, name):
    first, second = (CHANGES[name](tiny_frames[0], np.random.default_rng(0)) for _ in range(2))
    assert (first.shape, first.dtype) == (tiny_frames[0].shape, np.uint8)
    np.testing.assert_array_equal(first, second)
    assert np.array_equal(first, tiny_frames[0]) == (name == "unchanged")


def test_a_network_without_a_preferred_side_loses_nothing_by_mirroring(tiny_bundle, tiny_data):
    errors = {line.what: line.figures["rmse_m"] for line in lines_of_bundle(tiny_bundle, tiny_data, "tiny")}
    assert errors["tiny, mirrored"] == pytest.approx(errors["tiny, unchanged"], rel=1e-6)
    assert errors["tiny, brightness x0.5"] > errors["tiny, unchanged"]
