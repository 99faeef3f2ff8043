"""Frames: to judge a graph with, and the golden ones that a bundle carries to verify a device."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mde_export.judge.certify import Trial, attempt
from mde_export.judge.evidence import Evidence, ManyFrames, Pictures
from mde_export.judge.stored import Stored, stored
from mde_export.request.choices import MIN_FRAMES
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
            "leave --golden synth out, or also train on rendered scenes"
        )
    return Evidence(Pictures(frames, None, RENDERED), depth_m, source.reference, source.contract)


def rendered_frames(contract: Contract, step: Step, num_frames: int = MIN_FRAMES) -> ManyFrames:
    """So many scenes, each rendered at the contract's size, in its colour order."""
    from mde_train.data.synth.frames import make_frame
    from mde_train.data.synth.scene import Lens

    source = contract.source
    lens = Lens(source.height_px, source.width_px, source.width_px / 2)  # 90 degrees across, as the data set's
    with step("frames: rendered", num_frames) as advance:

        def rendered() -> Iterator[Frame]:
            for index in range(num_frames):
                yield frame_of(make_frame(SYNTH_SEED, index, lens).frame, contract)
                advance()

        return stored(rendered())


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
        pictures = pictures_from(request.frames, source.contract, request.num_frames or MIN_FRAMES)
    elif source.pictures is not None:
        if request.num_frames is not None:
            raise UsageError(
                f"--num-frames {request.num_frames}: {request.model} brings {source.pictures.in_words}; pass others "
                "with --frames DIR"
            )
        pictures = source.pictures
    elif source.origin != "bundle":
        return None
    else:
        raise UsageError(f"{request.model}: has no frames to certify on; pass a folder with --frames DIR")
    pictures.check(source.contract)
    return pictures


def pictures_of(source: Source, request: Request, step: Step) -> Pictures:
    """The frames that are given, else rendered ones; see `given_pictures`."""
    given = given_pictures(source, request)
    if given is not None:
        return given
    return Pictures(rendered_frames(source.contract, step, request.num_frames or MIN_FRAMES), None, RENDERED)


def pictures_from(folder: Path, contract: Contract, num_frames: int = MIN_FRAMES) -> Pictures:
    """So many frames spread evenly over the last split of a data set, or over the pictures below a folder.

    Pictures are brought to the contract's size by its policy. The true depth comes along where the sizes agree.
    Raises BadInputError where the contract's size is that of every picture with height and width swapped.
    """
    from mde_train.data import open_split, splits_of
    from mde_train.data.layouts import layout_of

    try:
        layout_of(folder)
    except BadInputError:
        count = sum(1 for source in open_sources([str(folder)]) for _ in source.frames())  # a film's hold their pixels
        picked = set(evenly_spaced(count, num_frames))
        given = enumerate(frame for source in open_sources([str(folder)]) for frame in source.frames())
        chosen = _fitted((frame.read() for index, frame in given if index in picked), contract, folder)
        return Pictures(chosen, None, f"{len(chosen)} pictures of {folder.name}", num_frames)
    split = splits_of(folder)[-1]
    samples = open_split(folder, split)
    size = (contract.source.height_px, contract.source.width_px)
    truth_m: Stored[np.float32] = Stored(size, np.float32)  # of the samples that have the contract's size

    def pictures() -> Iterator[Frame]:
        for sample in (samples[index] for index in evenly_spaced(len(samples), num_frames)):
            if sample.depth_m.shape == size:
                truth_m.append(np.where(sample.valid, sample.depth_m, np.float32(0)))
            yield sample.frame

    chosen = _fitted(pictures(), contract, folder)
    fits = len(truth_m) == len(chosen)
    return Pictures(chosen, truth_m if fits else None, f"{len(chosen)} frames of {folder.name}/{split}", num_frames)


def _fitted(pictures: Iterable[Frame], contract: Contract, folder: Path) -> Stored[np.uint8]:
    """The pictures at the contract's size. Raises BadInputError where that is theirs with height and width swapped."""
    sizes: list[Size] = []

    def fitted() -> Iterator[Frame]:
        for picture in pictures:
            sizes.append(picture.shape[:2])
            yield frame_of(picture, contract)

    frames = stored(fitted())
    size = (contract.source.height_px, contract.source.width_px)
    if all(_is_swapped(size, (height, width)) for height, width in sizes):
        raise BadInputError(
            f"{folder}: its pictures are {sizes[0][0]}x{sizes[0][1]} px, height x width, and the contract's frames are "
            f"{size[0]}x{size[1]} px, as if swapped; write {size[1]}x{size[0]} as --source-size or as the contract's "
            "source, or pass pictures of that shape"
        )
    return frames


def _is_swapped(size: Size, picture: Size) -> bool:
    """Whether a picture's shape is that of `size` on its side: as a size of it, it fits at least twice as well."""
    ours, theirs = (math.log(width / height) for height, width in (size, picture))
    return ours != 0 and abs(theirs + ours) <= abs(theirs - ours) / 2
