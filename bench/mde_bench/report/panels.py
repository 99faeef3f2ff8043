"""Pictures of the best, the median and the worst frame: input, truth, prediction, error."""

from html import escape

import numpy as np

from mde_bench.frames import Scene
from mde_bench.report import colour
from mde_bench.result import Row
from mde_runtime.contract import FromNetwork


def panels(row: Row, depth_m: colour.Maps, scene: Scene, wanted: FromNetwork) -> str:
    """One strip of four pictures a frame, with the scales of depth and error in metres."""
    by_error = np.argsort([frame.truth_rmse_m for frame in row.frames])
    chosen = {"Best": by_error[0], "Median": by_error[len(by_error) // 2], "Worst": by_error[-1]}
    truth_m = scene.truth_within(wanted)
    limit_m = _round_up(float(np.quantile(np.abs(depth_m - truth_m)[scene.valid], 0.95)))
    strips = [
        _strip(title, row, int(index), depth_m[index], truth_m[index], scene, wanted, limit_m)
        for title, index in chosen.items()
    ]
    depth_marks = tuple(f"{metres:.3g} m" for metres in np.linspace(wanted.near_m, wanted.far_m, 5))
    error_marks = (f"{limit_m:.3g} m too near", "0", f"{limit_m:.3g} m too far")
    scales = (
        f'<div class="scales"><div><b>Depth</b>{colour.scale(colour.NEAR_TO_FAR, depth_marks)}</div>'
        f"<div><b>Error</b>{colour.scale(colour.TOO_NEAR_TO_TOO_FAR, error_marks)}</div></div>"
    )
    return scales + "".join(strips)


def _strip(
    title: str,
    row: Row,
    index: int,
    depth_m: colour.Maps,
    truth_m: colour.Maps,
    scene: Scene,
    wanted: FromNetwork,
    limit_m: float,
) -> str:
    frame = row.frames[index]
    pictures = {
        "Input": scene.rgb[index],
        "Truth": colour.depth_colours(truth_m, wanted.near_m, wanted.far_m),
        "Prediction": colour.depth_colours(depth_m, wanted.near_m, wanted.far_m),
        "Error": colour.error_colours(depth_m - truth_m, limit_m, scene.valid[index]),
    }
    figures = "".join(
        f"<figure>{colour.picture(picture, f'{name} {escape(frame.name)}')}<figcaption>{name}</figcaption></figure>"
        for name, picture in pictures.items()
    )
    return (
        f"<h3>{title} frame: {escape(frame.name)} <small>RMSE to the truth {frame.truth_rmse_m:.3f} m, "
        f'to the reference {frame.reference_rmse_m * 1e3:.3g} mm</small></h3><div class="strip">{figures}</div>'
    )


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10 ... that is no smaller."""
    magnitude = 10.0 ** np.floor(np.log10(max(value, 1e-3)))
    return float(next(digit * magnitude for digit in (1, 2, 5, 10) if digit * magnitude >= value))
