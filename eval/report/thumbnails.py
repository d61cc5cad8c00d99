"""Pictures made small enough to live inside a page by the thousand."""

from __future__ import annotations

import base64
import io
import warnings

from PIL import Image

SIDE = 112  # pixels
LARGE = 1200  # pixels of a picture that is not a thumbnail
LIGHT = 6_000  # bytes; a picture that is small already keeps its own pixels
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg"}


def open_picture(data: bytes) -> Image.Image:
    """Decode a PNG or JPEG; what is transparent is laid on white.

    Raises:
        ValueError: if it is something else, or damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=list(TYPES))
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = str(error).partition("<")[0].strip()  # Pillow names the buffer's address, which says nothing
        raise ValueError(
            f"found a picture of {len(data)} bytes that is unreadable ({reason}), expected PNG or JPEG: render it again"
        ) from error
    if picture.has_transparency_data:
        opaque = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def thumbnail(data: bytes, side: int = SIDE) -> str:
    """A PNG or JPEG as a data URI, at most `side` pixels wide and high.

    Raises:
        ValueError: as `open_picture`.
    """
    picture = open_picture(data)
    form = picture.format  # None where it had to be converted
    if form is None or max(picture.size) > side or len(data) > LIGHT:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85, optimize=True)
        form, data = "JPEG", file.getvalue()
    return f"data:{TYPES[form]};base64,{base64.b64encode(data).decode()}"
