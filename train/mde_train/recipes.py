"""The recipes, by name. A variant is derived with `dataclasses.replace`."""

from dataclasses import replace

from mde_runtime.errors import UsageError
from mde_runtime.nearest import did_you_mean
from mde_train.recipe import NOTHING, Augment, Recipe

RESNET34_SEED = Recipe(  # as published, with --weights imagenet
    model="resnet34-seed",
    model_options={"is_frozen": True},
    loss="seed",
    sky="clip",
    augment=NOTHING,
    batch_size=32,
    epochs=100,
    max_minutes=None,
    optimizer="adam",
    lr=1e-3,
    weight_decay=1e-5,
    schedule="cyclic",
    clip_gradient=None,
    ema_decay=None,
    precision="fp32",
    evaluate_every_epochs=2,
    picture_every_steps=100,
    protocol="seed",
    best_by="ssim - rmse_m",
    patience=None,
    holdout="",
    seed=0,
)

FAST = replace(
    RESNET34_SEED,
    model="fast",
    model_options={},
    loss="rmse + 0.5 l1 + ssim",
    augment=Augment(
        flip=0.5,
        zoom=1.8,
        gamma=0.35,
        contrast=0.3,
        brightness=0.4,
        colour=0.15,
        haze=0.03,
        saturation=1.0,
        mix=0.5,
    ),
    batch_size=16,
    epochs=40,
    optimizer="adamw",
    lr=2e-3,
    weight_decay=1e-2,
    schedule="cosine",
    clip_gradient=5.0,
    ema_decay=0.998,
    protocol="auto",
    best_by="auto",
)

RESNET34_SKIP = replace(
    FAST,
    model="resnet34-skip",
    epochs=60,
    lr=1e-3,
    weight_decay=5e-2,
    ema_decay=0.999,
)

MOBILENETV2_SKIP = replace(RESNET34_SKIP, model="mobilenetv2-skip")  # with --weights imagenet

FCRN = replace(  # as the code that the slides descend from
    RESNET34_SEED,
    model="fcrn",
    loss="mse",
    augment=replace(NOTHING, flip=0.5, colour=0.2),
    epochs=30,
    lr=1e-4,
    weight_decay=1e-4,
    schedule="constant",
    protocol="nyu",
    best_by="-rmse_m",
)
CNN_FC = replace(FCRN, model="cnn-fc", model_options={}, lr=1e-3)
CNN_TRANS = replace(FCRN, model="cnn-trans", model_options={})
CNN = replace(FCRN, model="cnn", model_options={}, batch_size=16)

FAST_DEMO = replace(  # a few minutes on two cores, on synthetic scenes
    FAST,
    augment=replace(NOTHING, flip=0.5),  # so few epochs do not overfit
    batch_size=8,  # more steps in the time
    epochs=8,
    max_minutes=2.5,
    lr=3e-3,
    schedule="one-cycle",
    ema_decay=0.98,
    evaluate_every_epochs=4,
)

RECIPES: dict[str, Recipe] = {
    "resnet34-skip": RESNET34_SKIP,
    "mobilenetv2-skip": MOBILENETV2_SKIP,
    "fast": FAST,
    "fast-demo": FAST_DEMO,
    "resnet34-seed": RESNET34_SEED,
    "fcrn": FCRN,
    "cnn-fc": CNN_FC,
    "cnn-trans": CNN_TRANS,
    "cnn": CNN,
}

SLIDES = "slides of the Industrial University of Ho Chi Minh City, 2022"
PURPOSES: dict[str, str] = {  # for what a recipe's network is, and from which paper
    "resnet34-skip": "Large, for training from scratch on a GPU: 24 M parameters. Ours: the encoder of ResNet "
    "(He et al. 2016) with skips (U-Net, Ronneberger et al. 2015).",
    "mobilenetv2-skip": "For few frames of your own, with --weights imagenet: 2.8 M parameters. Ours: the encoder of "
    "MobileNetV2 (Sandler et al. 2018), the decoder of resnet34-skip.",
    "fast": "For CPUs and small boards: 1.5 M parameters. Ours: a U-Net (Ronneberger et al. 2015) of residual blocks.",
    "fast-demo": "fast in 2.5 minutes, on rendered scenes: what make demo trains. Ours.",
    "resnet34-seed": "For comparison with its published figures, with --weights imagenet: 24 M parameters. "
    "Lopopolo 2024, a course challenge of the University of Perugia.",
    "fcrn": f"For comparison, on NYU: 53 M parameters. After Laina et al. 2016, as in {SLIDES}.",
    "cnn-fc": f"For comparison, on NYU: 319 M parameters, fully connected over the whole picture. From {SLIDES}.",
    "cnn-trans": f"For comparison, on NYU: 0.5 M parameters, a transposed convolution. From {SLIDES}.",
    "cnn": f"For comparison, on NYU: 0.4 M parameters, convolutions alone. From {SLIDES}.",
}


def recipe_named(name: str) -> Recipe:
    """The named recipe. Raises UsageError for a name that is not in the table."""
    if name not in RECIPES:
        raise UsageError(f"no recipe {name!r}{did_you_mean(name, RECIPES)}; the recipes are {', '.join(RECIPES)}")
    return RECIPES[name]
