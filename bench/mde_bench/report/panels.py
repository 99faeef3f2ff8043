"""Pictures: the best, the median and the worst frame against the truth, and the least faithful against PyTorch."""

from dataclasses import dataclass
from html import escape

import numpy as np

from mde_bench.accuracy.frames import Scene
from mde_bench.report import colour
from mde_bench.result.result import Row
from mde_runtime.colours import coloured
from mde_runtime.contract import FromNetwork


@dataclass(frozen=True, eq=False)
class Shown:
    """Whose depth is shown, and beside which reference's."""

    row: Row
    depth_m: colour.Maps  # (N, H, W)
    reference_m: colour.Maps | None  # None: it is the reference itself, or that failed
    scene: Scene
    wanted: FromNetwork


def panels(shown: Shown) -> str:
    """One strip of four pictures a frame, with the scales of depth and error in metres."""
    scene, wanted, truth_m = shown.scene, shown.wanted, shown.scene.truth_within(shown.wanted)
    by_error = np.argsort([frame.truth_rmse_m for frame in shown.row.frames])
    chosen = {"Best": by_error[0], "Median": by_error[len(by_error) // 2], "Worst": by_error[-1]}
    error_m = shown.depth_m - truth_m
    limit_m = _round_up(float(np.quantile(np.abs(error_m)[scene.valid], 0.95)))
    depth_marks = tuple(f"{metres:.3g} m" for metres in np.linspace(wanted.near_m, wanted.far_m, 5))
    parts = [
        _scales(("Depth", colour.scale(colour.NEAR_TO_FAR, depth_marks)), ("Error", _error_scale(limit_m, 1, "m")))
    ]
    for title, index in chosen.items():
        error = colour.error_colours(error_m[index], limit_m, scene.valid[index])
        parts.append(_strip(f"{title} frame", shown, int(index), ("Truth", truth_m[index]), ("Error", error)))
    return "".join(parts) + _least_faithful(shown)


def _least_faithful(shown: Shown) -> str:
    if shown.reference_m is None:
        return ""
    index = int(np.argmax([frame.reference_rmse_m for frame in shown.row.frames]))
    difference_m = shown.depth_m[index] - shown.reference_m[index]
    limit_m = _round_up(max(float(np.abs(difference_m).max()), 1e-6))
    difference = colour.error_colours(difference_m, limit_m, np.ones(difference_m.shape, bool))
    reference = ("Reference", shown.reference_m[index])
    return _strip("Least faithful frame", shown, index, reference, ("Difference", difference)) + _scales(
        ("Difference from the reference", _error_scale(limit_m, 1e3, "mm"))
    )


def _strip(title: str, shown: Shown, index: int, beside: tuple[str, colour.Maps], last: tuple[str, colour.Rgb]) -> str:
    frame, near_m, far_m = shown.row.frames[index], shown.wanted.near_m, shown.wanted.far_m
    pictures = {
        "Input": shown.scene.rgb[index],
        beside[0]: coloured(beside[1], near_m, far_m),
        "Prediction": coloured(shown.depth_m[index], near_m, far_m),
        last[0]: last[1],
    }
    figures = "".join(
        f"<figure>{colour.picture(picture, f'{name} {escape(frame.name)}')}<figcaption>{name}</figcaption></figure>"
        for name, picture in pictures.items()
    )
    return (
        f"<h3>{title}: {escape(frame.name)} <small>RMSE to the truth {frame.truth_rmse_m:.3f} m, "
        f'to the reference {frame.reference_rmse_m * 1e3:.3g} mm</small></h3><div class="strip">{figures}</div>'
    )


def _scales(*scales: tuple[str, str]) -> str:
    return f'<div class="scales">{"".join(f"<div><b>{name}</b>{scale}</div>" for name, scale in scales)}</div>'


def _error_scale(limit_m: float, factor: float, unit: str) -> str:
    end = f"{limit_m * factor:.3g} {unit}"
    return colour.scale(colour.TOO_NEAR_TO_TOO_FAR, (f"{end} too near", "0", f"{end} too far"))


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10 ... that is no smaller."""
    magnitude = 10.0 ** np.floor(np.log10(max(value, 1e-6)))
    return float(next(digit * magnitude for digit in (1, 2, 5, 10) if digit * magnitude >= value * (1 - 1e-9)))
