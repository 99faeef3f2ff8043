"""Frames: to judge a graph with, and the golden ones that a bundle carries to verify a device."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from mde_export.judge.certify import Trial, attempt
from mde_export.judge.evidence import MIN_FRAMES, Evidence, Frames, Pictures
from mde_export.request.request import Request, Size
from mde_export.sources import Source
from mde_export.steps import Step
from mde_runtime.bundle import Golden
from mde_runtime.contract import Contract
from mde_runtime.errors import BadInputError, UsageError, VerdictError
from mde_runtime.evenly_spaced import evenly_spaced
from mde_runtime.picture_placement import Frame, frame_of
from mde_runtime.sources import open_sources

NUM_GOLDEN = 8
RENDERED = "rendered"  # what a certificate says of such frames
SYNTH_SEED = 0  # any will do, but the same bundle has the same bytes


def golden_of(source: Source, trials: Sequence[Trial], evidence: Evidence, request: Request, step: Step) -> Golden:
    """The hardest frames: for each precision the one with the worst RMSE; the rest evenly spaced.

    So a device meets what the certificates call the worst. synth: of rendered frames, the worst of those.
    """
    if request.golden == "synth":
        evidence = _rendered(source, step)
        with step("golden frames: every graph on them", len(trials)) as advance:
            trials = [_tried_on(evidence, trial, advance) for trial in trials]
    worst = sorted({trial.parity.worst_frame for trial in trials})
    others = [index for index in range(len(evidence.depth_m)) if index not in worst]
    spaced = [others[index] for index in evenly_spaced(len(others), NUM_GOLDEN - len(worst))]
    picked = sorted([*worst, *spaced])
    return Golden(evidence.pictures.frames[picked], evidence.depth_m[picked])


def _rendered(source: Source, step: Step) -> Evidence:
    """Nothing of anybody's data goes into the bundle. Raises VerdictError where the model gives NaN or Inf on them."""
    frames = rendered_frames(source.contract, step)
    with step("golden frames: reference", MIN_FRAMES) as advance:
        depth_m, num_nonfinite = source.depth_by(source.contract)(frames, advance)
    if num_nonfinite:
        raise VerdictError(
            f"{source.reference} gives {num_nonfinite} values that are NaN or Inf on the rendered golden frames; "
            "leave --golden synth out, or train on rendered scenes, too"
        )
    return Evidence(Pictures(frames, None, RENDERED), depth_m, source.reference, source.contract)


def rendered_frames(contract: Contract, step: Step) -> Frames:
    """MIN_FRAMES scenes, each rendered at the contract's size, in its colour order."""
    from mde_train.data.synth.frames import make_frame
    from mde_train.data.synth.scene import Lens

    source = contract.source
    lens = Lens(source.height_px, source.width_px, source.width_px / 2)  # 90 degrees across, as the data set's
    frames = []
    with step("frames: rendered", MIN_FRAMES) as advance:
        for index in range(MIN_FRAMES):
            frames.append(frame_of(make_frame(SYNTH_SEED, index, lens).frame, contract))
            advance()
    return np.stack(frames)


def _tried_on(evidence: Evidence, trial: Trial, advance: Callable[[], None]) -> Trial:
    """The same graph on other frames."""
    advance()
    return trial.lowering(trial.kept_fp32, evidence) if trial.lowering else attempt("fp32", trial.graph, evidence)


def given_pictures(source: Source, request: Request) -> Pictures | None:
    """The frames of --frames, else those that the model brings; None where there are none, and some can be rendered.

    Raises UsageError for a bundle, which is made for a camera, whose frames there are. Raises BadInputError where they
    are too few, or of another size than the contract's.
    """
    if request.frames is not None:
        pictures = pictures_from(request.frames, source.contract)
    elif source.pictures is not None:
        pictures = source.pictures
    elif source.origin != "bundle":
        return None
    else:
        raise UsageError(f"{request.model}: brings no frames to be judged on; give a folder with --frames DIR")
    pictures.check(source.contract)
    return pictures


def pictures_of(source: Source, request: Request, step: Step) -> Pictures:
    """The frames that are given, else rendered ones; see `given_pictures`."""
    given = given_pictures(source, request)
    return given or Pictures(rendered_frames(source.contract, step), None, RENDERED)


def pictures_from(folder: Path, contract: Contract) -> Pictures:
    """MIN_FRAMES frames spread evenly over the last split of a data set, or over the pictures below a folder.

    Pictures are brought to the contract's size by its policy. The true depth comes along where the sizes agree.
    Raises BadInputError where the contract's size is that of every picture with height and width swapped.
    """
    from mde_train.data import open_split, splits_of
    from mde_train.data.layouts import layout_of

    try:
        layout_of(folder)
    except BadInputError:
        frames = [frame for source in open_sources([str(folder)]) for frame in source.frames()]
        chosen = _fitted((frames[index].read() for index in evenly_spaced(len(frames), MIN_FRAMES)), contract, folder)
        return Pictures(chosen, None, f"{len(chosen)} pictures of {folder.name}")
    split = splits_of(folder)[-1]
    samples = open_split(folder, split)
    picked = [samples[index] for index in evenly_spaced(len(samples), MIN_FRAMES)]
    chosen = _fitted((sample.frame for sample in picked), contract, folder)
    fits = all(sample.depth_m.shape == chosen.shape[1:3] for sample in picked)
    truth_m = np.stack([np.where(sample.valid, sample.depth_m, 0) for sample in picked]) if fits else None
    return Pictures(chosen, truth_m, f"{len(chosen)} frames of {folder.name}/{split}")


def _fitted(pictures: Iterable[Frame], contract: Contract, folder: Path) -> Frames:
    """The pictures at the contract's size. Raises BadInputError where that is theirs with height and width swapped."""
    frames, sizes = [], []
    for picture in pictures:
        frames.append(frame_of(picture, contract))
        sizes.append(picture.shape[:2])
    size = (contract.source.height_px, contract.source.width_px)
    if all(_is_swapped(size, (height, width)) for height, width in sizes):
        raise BadInputError(
            f"{folder}: its pictures are {sizes[0][0]}x{sizes[0][1]} px, height x width, and the contract's frames are "
            f"{size[0]}x{size[1]} px, as if swapped; write {size[1]}x{size[0]} as --source-size or as the contract's "
            "source, or give pictures of that shape"
        )
    return np.stack(frames)


def _is_swapped(size: Size, picture: Size) -> bool:
    """Whether a picture's shape is that of `size` on its side: as a size of it, it fits at least twice as well."""
    ours, theirs = (math.log(width / height) for height, width in (size, picture))
    return ours != 0 and abs(theirs + ours) <= abs(theirs - ours) / 2
