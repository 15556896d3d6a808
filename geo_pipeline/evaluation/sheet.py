"""Small pictures of photos: one alone, or many pasted into a contact sheet.

Not here: choosing the photos.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image, ImageOps

_GAP = 4
_THUMBNAIL_QUALITY = 82


def photo_sheet(images: Sequence[bytes], *, columns: int = 8, side: int = 96) -> bytes:
    """The photos as squares (cropped to their middle, side x side pixels) in rows: a PNG.

    images: the bytes of picture files, at least one. Raises PIL.UnidentifiedImageError for bytes that are no picture.
    """
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    step = side + _GAP
    sheet = Image.new("RGBA", (columns * step - _GAP, rows * step - _GAP))
    for k, content in enumerate(images):
        with Image.open(io.BytesIO(content)) as photo:
            square = ImageOps.fit(photo.convert("RGB"), (side, side))
        sheet.paste(square, (k % columns * step, k // columns * step))
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def thumbnail(image: bytes, side: int = 320) -> bytes:
    """The middle of a photo as a square JPEG of side x side pixels, some 20 kB, so that a page with many stays small.

    Raises PIL.UnidentifiedImageError for bytes that are no picture.
    """
    with Image.open(io.BytesIO(image)) as photo:
        square = ImageOps.fit(photo.convert("RGB"), (side, side))
    stream = io.BytesIO()
    square.save(stream, "JPEG", quality=_THUMBNAIL_QUALITY)
    return stream.getvalue()
