"""Pictures of every accepted format, by Pillow: the way for all that is no common JPEG.

Here live the formats, decoding in strips, and what it takes in memory. Colour profiles, orientation and the stored
file are not known here. The one idea: Pillow holds a picture whole, so nothing else may: transparency and depth are
seen to and pixels made fewer strip by strip.
"""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from geo_pipeline.pixels.colour import without_alpha

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
"""Formats of photos on the web. Others stay closed: some of Pillow's readers start programs (EPS) or are obscure."""

START_BYTES = 16
"""So many bytes tell a picture from anything else; Pillow's readers look at no more."""

_GAP = 3  # how much larger than its target a picture is when the final filter sees it: Pillow's reducing_gap
_STRIP_PIXELS = 1 << 20
_BYTES_PER_PIXEL: Mapping[str, int] = {"1": 1, "L": 1, "P": 1, "LA": 4, "I;16": 2}
_DECODER_BYTES_PER_PIXEL: Mapping[str, int] = {"WEBP": 12, "AVIF": 6, "TIFF": 4}


def may_be_picture(start: bytes) -> bool:
    """Whether a body that begins with these bytes (`START_BYTES` or more) can be a picture of an accepted format."""
    if not all(name in Image.OPEN for name in FORMATS):
        Image.init()
    return any(accept is None or accept(start[:START_BYTES]) for _, accept in map(Image.OPEN.__getitem__, FORMATS))


def decode(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The first frame in 8 bits as RGB, L or CMYK, reduced to `size` (width, height). Raises whatever Pillow does."""
    if image.size == size:
        return without_alpha(image)
    image.draft(None, (2 * size[0], 2 * size[1]))  # a JPEG decoded at 1/2, 1/4 or 1/8; twice the target stays sharp
    image.load()
    factor = _factor(image.size, size)
    reduced = _reduced(image, factor)
    box = (0, 0, image.width / factor, image.height / factor)
    return reduced.resize(size, Image.Resampling.BICUBIC, box=box)


def _factor(announced: tuple[int, int], size: tuple[int, int]) -> int:
    """The whole number by which pixels are averaged before the filter."""
    return max(1, min(announced[0] // size[0], announced[1] // size[1]) // _GAP)


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """A loaded picture without alpha, in strips: each as many rows as is cheap, and a multiple of the factor."""
    rows = factor * max(1, _STRIP_PIXELS // image.width // factor)
    mode = without_alpha(image.crop((0, 0, 1, 1))).mode
    whole = Image.new(mode, (-(-image.width // factor), -(-image.height // factor)))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        whole.paste(without_alpha(strip).reduce(factor), (0, top // factor))
    return whole


def bytes_to_decode(image: Image.Image, size: tuple[int, int]) -> int:
    """About how much memory `decode` takes, seen from the header alone: the decoder, the picture, what is reduced."""
    width, height = image.size
    each = _BYTES_PER_PIXEL.get(image.mode, 4) + _DECODER_BYTES_PER_PIXEL.get(image.format or "", 0)
    return width * height * each + 4 * width * height // _factor(image.size, size) ** 2
