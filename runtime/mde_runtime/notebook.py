"""Notebook display: the HTML that `_repr_html_` gives for what a person looks at. Loads Pillow for pictures alone."""

import base64
import html
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image


def table(title: str, rows: Mapping[str, str]) -> str:
    """A heading and a table of two columns; rows without a text are left out."""
    lines = "".join(
        f"<tr><td style='text-align:left'>{html.escape(name)}</td><td style='text-align:left'>{_lines(text)}</td></tr>"
        for name, text in rows.items()
        if text
    )
    return f"<b>{html.escape(title)}</b><table>{lines}</table>"


def picture(image: "Image.Image") -> str:
    """An image that the page holds itself."""
    content = io.BytesIO()
    image.save(content, format="PNG")
    return f"<img src='data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}'>"


def depth_picture(
    depth_m: "npt.NDArray[np.floating]", near_m: float | None = None, far_m: float | None = None
) -> "Image.Image":
    """A PIL image of depth (H, W) in metres, near bright, with a scale below it. A notebook shows it as it is.

    near_m, far_m: where the palette begins and ends; None: the 2nd and the 98th percentile of this depth.

        depth_picture(estimate.picture("photo.jpg"))
    """
    from PIL import Image

    from mde_runtime.colouring import ends_of_depth
    from mde_runtime.colours import coloured_with_scale

    own_near_m, own_far_m = ends_of_depth(depth_m)
    ends_m = (own_near_m if near_m is None else near_m, own_far_m if far_m is None else far_m)
    return Image.fromarray(coloured_with_scale(depth_m, ends_m))


def _lines(text: str) -> str:
    return "<br>".join(map(html.escape, text.splitlines()))
