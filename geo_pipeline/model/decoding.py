"""From a photo's bytes to its pixels.

Here lives the choice of the decoder: libjpeg-turbo through simplejpeg, the fastest of those that are kept alive
(benchmarks/loader.md), and Pillow for what that refuses: CMYK, other formats, damage. The one idea: Pillow alone
decides what cannot be decoded, so which decoder is asked first changes no outcome.
"""

from __future__ import annotations

import io
import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import simplejpeg  # type: ignore[import-untyped]
from PIL import Image

HwcPixels = npt.NDArray[np.uint8]
"""An RGB picture, uint8[height, width, 3]."""

DIVISORS = (8, 4, 2)
"""Scales of libjpeg that cost less than the whole picture."""


_REFUSALS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class UndecodableError(ValueError):
    """Bytes that are no whole picture; `found` says what they are."""

    def __init__(self, reason: object) -> None:
        self.found = f"a picture that cannot be decoded ({reason})"
        super().__init__(self.found)


def picture_size(encoded: bytes) -> tuple[int, int]:
    """Width and height from the header alone, pixels. Raises UndecodableError, also for a decompression bomb."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(encoded)
    except ValueError:
        return _opened(encoded).size
    if width * height > (Image.MAX_IMAGE_PIXELS or math.inf):
        return _opened(encoded).size
    return width, height


def divisor_for(available: float, needed: int) -> int:
    """The largest divisor of a decoder that leaves at least `needed` of `available` pixels; 1 if none does."""
    return next((divisor for divisor in DIVISORS if available >= divisor * needed), 1)


Lengths = TypeVar("Lengths", int, npt.NDArray[np.int64])


def reduced(length: Lengths, divisor: Lengths) -> Lengths:
    """A side of a picture that is decoded with a divisor, pixels."""
    return -(-length // divisor)


def decode(encoded: bytes, divisor: int = 1) -> HwcPixels:
    """The pixels, uint8[height, width, 3], both sides reduced by 1, 2, 4 or 8 and rounded up.

    Raises UndecodableError for bytes that are no whole picture.
    """
    return decode_sized(encoded, picture_size(encoded), divisor)


def decode_sized(encoded: bytes, size: tuple[int, int], divisor: int) -> HwcPixels:
    """The same for a picture whose size is known. Raises UndecodableError."""
    least = (reduced(size[0], divisor), reduced(size[1], divisor)) if divisor > 1 else (0, 0)
    try:
        pixels: HwcPixels = simplejpeg.decode_jpeg(encoded, min_width=least[0], min_height=least[1])
    except ValueError:
        return _decoded_by_pillow(encoded, divisor)
    return pixels


def _opened(encoded: bytes) -> Image.Image:
    """The picture with its header read. Raises UndecodableError."""
    try:
        return Image.open(io.BytesIO(encoded))
    except _REFUSALS as error:
        raise UndecodableError(error) from error


def _decoded_by_pillow(encoded: bytes, divisor: int) -> HwcPixels:
    """The same pixels by Pillow. Raises UndecodableError."""
    with _opened(encoded) as image:
        size = (reduced(image.width, divisor), reduced(image.height, divisor))
        try:
            image.draft(None, (image.width // divisor, image.height // divisor))  # of a JPEG, as libjpeg does
            picture = image.convert("RGB")
        except _REFUSALS as error:
            raise UndecodableError(error) from error
    return np.array(picture if picture.size == size else picture.reduce(divisor))
