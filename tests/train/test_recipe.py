import pytest
import torch

from mde_runtime import records
from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.numbers import MOST_WHOLE
from mde_train.losses import loss_from_text
from mde_train.models import MODELS, build_model
from mde_train.recipe import Recipe, with_settings
from mde_train.recipes import RECIPES, recipe_named


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_the_checkpoint(name: str):
    recipe = recipe_named(name)
    assert records.loads(Recipe, records.dumps(recipe), "recipe") == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_what_exists(name: str):
    recipe = recipe_named(name)
    assert recipe.model in MODELS
    loss_from_text(recipe.loss)


def test_the_seeds_recipe_is_the_published_one():
    recipe = recipe_named("resnet34-seed")
    assert (recipe.loss, recipe.batch_size, recipe.epochs) == ("seed", 32, 100)
    assert (recipe.optimizer, recipe.lr, recipe.weight_decay, recipe.schedule) == ("adam", 1e-3, 1e-5, "cyclic")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_whether_a_part_of_its_network_is_frozen(name: str):
    recipe = recipe_named(name)
    with torch.device("meta"):
        network = build_model(recipe.model, **recipe.model_options)
    is_frozen = not all(parameter.requires_grad for parameter in network.parameters())
    assert recipe.model_options.get("is_frozen", False) == is_frozen


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("lr=1e-4", "lr", 1e-4),
        ("loss=mse", "loss", "mse"),
        ("max_minutes=null", "max_minutes", None),
        ("lr=1", "lr", 1.0),
    ],
)
def test_a_setting_changes_one_field(setting: str, field: str, value: object):
    recipe = recipe_named("fast-demo")
    changed = with_settings(recipe, [setting])
    assert getattr(changed, field) == value
    assert {name for name in records.to_json(recipe) if getattr(recipe, name) != getattr(changed, name)} <= {field}


def test_a_setting_reaches_into_a_group():
    assert with_settings(recipe_named("fast"), ["augment.zoom=2"]).augment.zoom == 2.0


@pytest.mark.parametrize("setting", ["lrr=1", "augment.zom=2", "lr", "lr.x=1", "augment"])
def test_a_setting_of_nothing_is_answered_with_the_keys(setting: str):
    with pytest.raises(UsageError, match="pass KEY=VALUE with a KEY from"):
        with_settings(recipe_named("fast"), [setting])


@pytest.mark.parametrize("setting", ["lr=fast", "batch_size=1.5", "schedule=square", "augment=7"])
def test_a_value_of_the_wrong_kind_is_refused(setting: str):
    with pytest.raises(BadInputError, match="recipe"):
        with_settings(recipe_named("fast"), [setting])


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ("epochs=0", f"1 to {MOST_WHOLE}"),
        ("batch_size=0", f"1 to {MOST_WHOLE}"),
        ("evaluate_every_epochs=0", f"1 to {MOST_WHOLE}"),
        ("picture_every_steps=-1", f"1 to {MOST_WHOLE}"),
        ("max_minutes=0.0", "more than 0"),
        ("clip_gradient=0.0", "more than 0"),
        ("lr=-1.0", "0 or more"),
        ("ema_decay=1.1", "0 to 1"),
        ("patience=-1", "0 or more"),
        ("seed=-1", "0 to 4294967295"),
        ("augment.flip=2.0", "0 to 1"),
        ("augment.zoom=0.5", f"1 to {MOST_WHOLE}"),
    ],
)
def test_a_value_out_of_range_is_answered_with_the_range(setting: str, allowed: str):
    key, _, value = setting.partition("=")
    with pytest.raises(BadInputError, match=rf"^recipe\.{key}: {value} is out of range; use {allowed}$"):
        with_settings(recipe_named("fast"), [setting])


@pytest.mark.parametrize("setting", ["lr=0", "ema_decay=0", "patience=0", "seed=4294967295", "max_minutes=0.01"])
def test_the_ends_of_a_range_are_in_it(setting: str):
    with_settings(recipe_named("fast"), [setting])


def test_an_unknown_recipe_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="the recipes are resnet34-skip, mobilenetv2-skip, fast"):
        recipe_named("slow")


NUMBERS = [
    *(name for name, value in records.to_json(recipe_named("fast")).items() if type(value) in (int, float)),
    *(f"augment.{name}" for name in records.to_json(recipe_named("fast").augment)),
    *("max_minutes", "clip_gradient", "ema_decay", "patience"),
]
BAD_NUMBERS = ["NaN", "Infinity", "-Infinity", "-1", "1e999", "1e39", "9" * 5000, "true", '"1"', "[1]", "1e", "0x10"]


@pytest.mark.parametrize("field", NUMBERS)
def test_no_field_takes_a_number_that_makes_no_sense(field: str):
    for bad in BAD_NUMBERS:
        with pytest.raises((UsageError, BadInputError)) as caught:
            with_settings(recipe_named("fast"), [f"{field}={bad}"])
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "value", ["[" * 5000, "[" * 400 + "]" * 400, '"\\ud800"', "\udce9"], ids=["open", "deep", "half", "\u00e9"]
)
@pytest.mark.parametrize("field", ["lr", "loss", "model_options.x"])
def test_a_value_that_no_file_can_hold_is_wrong_usage(field: str, value: str):
    with pytest.raises(UsageError, match="--set"):
        with_settings(recipe_named("fast"), [f"{field}={value}"])
