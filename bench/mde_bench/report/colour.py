"""Pictures in a page, and the scale that says what their colours mean."""

import base64
import io

from PIL import Image

from mde_runtime.colours import palette
from mde_runtime.strip import Rgb

NEAR_TO_FAR = tuple(f"#{bytes(colour).hex()}" for colour in palette()[::15])  # 18 stops of a gradient
MAX_WIDTH_PX = 480  # of a picture in the report: sharp on a phone, and the page stays small


def picture(colours: Rgb, label: str) -> str:
    """An image element that holds its picture."""
    image = Image.fromarray(colours)
    if image.width > MAX_WIDTH_PX:
        image = image.resize((MAX_WIDTH_PX, round(image.height * MAX_WIDTH_PX / image.width)), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{label}" width="{image.width}" height="{image.height}" src="data:image/png;base64,{content}">'


def scale(colours: tuple[str, ...], marks: tuple[str, ...]) -> str:
    """A bar of the colours with marks evenly below it, from end to end."""
    said = "".join(f"<span>{mark}</span>" for mark in marks)
    return (
        f'<div class="scale"><div style="background:linear-gradient(to right,{",".join(colours)})"></div>'
        f"<p>{said}</p></div>"
    )
