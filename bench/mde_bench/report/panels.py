"""Pictures: the best, the median and the worst frame against the truth, and the least faithful against PyTorch."""

from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from mde_bench.accuracy.frames import Scene
from mde_bench.report import colour
from mde_bench.result.result import Row
from mde_runtime.colours import round_up
from mde_runtime.contract import FromNetwork
from mde_runtime.strip import TOO_NEAR_TO_TOO_FAR, Maps, strip

MIN_LIMIT_M = 1e-6  # of a scale of errors: equal maps have none


@dataclass(frozen=True, eq=False)
class Shown:
    """Whose depth is shown, and beside which reference's."""

    row: Row
    depth_m: Maps  # (N, H, W)
    reference_m: Maps | None  # None: it is the reference itself, or that failed
    scene: Scene
    from_network: FromNetwork


def panels(shown: Shown) -> str:
    """One strip of four pictures a frame, with the scales of depth and error in metres."""
    scene, from_network = shown.scene, shown.from_network
    truth_m = scene.truth_within(from_network)
    by_error = np.argsort([frame.truth_rmse_m for frame in shown.row.frames])
    chosen = {"Best": by_error[0], "Median": by_error[len(by_error) // 2], "Worst": by_error[-1]}
    errors_m = np.abs(shown.depth_m - truth_m)[scene.valid]
    limit_m = round_up(max(float(np.quantile(errors_m, 0.95)), MIN_LIMIT_M))
    depth_marks = tuple(f"{metres:.3g} m" for metres in np.linspace(from_network.near_m, from_network.far_m, 5))
    parts = [
        _scales(("Depth", colour.scale(colour.NEAR_TO_FAR, depth_marks)), ("Error", _error_scale(limit_m, 1, "m")))
    ]
    names = ("Input", "Truth", "Prediction", "Error")
    for title, index in chosen.items():
        parts.append(_strip(f"{title} frame", names, shown, int(index), truth_m[index], scene.valid[index], limit_m))
    return "".join(parts) + _least_faithful(shown)


def _least_faithful(shown: Shown) -> str:
    if shown.reference_m is None:
        return ""
    index = int(np.argmax([frame.reference_rmse_m for frame in shown.row.frames]))
    reference_m = shown.reference_m[index]
    limit_m = round_up(max(float(np.abs(shown.depth_m[index] - reference_m).max()), MIN_LIMIT_M))
    names = ("Input", "Reference", "Prediction", "Difference")
    everywhere = np.ones(reference_m.shape, bool)
    return _strip("Least faithful frame", names, shown, index, reference_m, everywhere, limit_m) + _scales(
        ("Difference from the reference", _error_scale(limit_m, 1e3, "mm"))
    )


def _strip(
    title: str,
    names: tuple[str, ...],
    shown: Shown,
    index: int,
    beside_m: Maps,
    valid: npt.NDArray[np.bool_],
    limit_m: float,
) -> str:
    frame, rgb = shown.row.frames[index], shown.scene.rgb[index]
    ends_m = shown.from_network.near_m, shown.from_network.far_m
    pictures = strip(rgb, beside_m, shown.depth_m[index], valid, ends_m, limit_m)
    figures = "".join(
        f"<figure>{colour.picture(picture, f'{name} {escape(frame.name)}')}<figcaption>{name}</figcaption></figure>"
        for name, picture in zip(names, pictures, strict=True)
    )
    return (
        f"<h3>{title}: {escape(frame.name)} <small>RMSE to ground truth {frame.truth_rmse_m:.3f} m, "
        f'to the reference {frame.reference_rmse_m * 1e3:.3g} mm</small></h3><div class="strip">{figures}</div>'
    )


def _scales(*scales: tuple[str, str]) -> str:
    return f'<div class="scales">{"".join(f"<div><b>{name}</b>{scale}</div>" for name, scale in scales)}</div>'


def _error_scale(limit_m: float, factor: float, unit: str) -> str:
    end = f"{limit_m * factor:.3g} {unit}"
    return colour.scale(TOO_NEAR_TO_TOO_FAR, (f"{end} too near", "0", f"{end} too far"))
