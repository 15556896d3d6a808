"""From the bytes of any picture to the JPEG that is stored.

Here live the guards before decoding (format, pixels, memory, size) and the order of the steps: decode, reduce to a
short side of at most `image_size`, convert to sRGB, turn upright, encode. Where bytes come from and go to is not known
here. The one idea: a GPS tag left in a picture would leak the label, so the stored file is encoded anew from pixels
alone.
"""

from __future__ import annotations

import hashlib
import io
import threading
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from geo_pipeline.crawl import jpeg
from geo_pipeline.crawl.geometry import shrink, upright
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.pixels import any_format
from geo_pipeline.pixels.colour import to_srgb
from geo_pipeline.shards.manifest import Status

LARGE_BYTES = 32_000_000
"""Pictures that take more memory than this are decoded one at a time, whatever the number of threads."""

_ORIENTATION_TAG = 0x0112  # EXIF 2.32, section 4.6.4
_JPEGS = frozenset({"JPEG", "MPO"})  # MPO: a JPEG with further pictures behind its end
_large_pictures = threading.Lock()


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """What is kept of a picture: a JPEG, its size in pixels, and the hashes of the body and of the JPEG."""

    jpeg: bytes
    width: int
    height: int
    source_sha256: str
    image_sha256: str


class RefusedPictureError(Exception):
    """A body that becomes no stored picture: `status` says why in the manifest's words."""

    def __init__(self, status: Status, detail: str, source_sha256: str) -> None:
        super().__init__(detail)
        self.status = status
        self.source_sha256 = source_sha256


def store_picture(body: bytes, settings: CrawlSettings) -> StoredPicture:
    """Decode a body and encode the JPEG that is stored for it.

    Raises RefusedPictureError: `placeholder`, `not_an_image`, `bomb`, `too_small` (all before decoding) or `corrupt`.
    """
    source = hashlib.sha256(body).hexdigest()
    if source in settings.placeholder_sha256:
        raise RefusedPictureError(Status.PLACEHOLDER, "a known placeholder picture", source)
    with _open(body, source) as image:
        size = _stored_size(image.size, settings.image_size)
        held = _bytes_to_decode(body, image, size)
        _guard(image, held, settings, source)
        with _large_pictures if held > LARGE_BYTES else nullcontext():
            try:
                pixels = _stored_pixels(body, image, size)
                stored = jpeg.encode(pixels, settings.quality)
            except Exception as error:  # whatever a decoder raises on hostile bytes means that it cannot read them
                raise RefusedPictureError(Status.CORRUPT, _describe(error), source) from error
    height, width = pixels.shape[:2]
    return StoredPicture(stored, width, height, source, hashlib.sha256(stored).hexdigest())


def _open(body: bytes, source: str) -> Image.Image:
    """Read the header only."""
    try:
        return Image.open(io.BytesIO(body), formats=any_format.FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RefusedPictureError(Status.BOMB, _describe(error), source) from error
    except UnidentifiedImageError as error:
        raise RefusedPictureError(Status.NOT_AN_IMAGE, f"no picture begins {body[:16]!r}", source) from error
    except Exception as error:  # as above: a header that breaks its reader
        raise RefusedPictureError(Status.CORRUPT, _describe(error), source) from error


def _stored_size(announced: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(width, height) with a short side of at most `short_side`; nothing is enlarged."""
    scale = min(1.0, short_side / max(1, min(announced)))
    return max(1, round(announced[0] * scale)), max(1, round(announced[1] * scale))


def _guard(image: Image.Image, held: int, settings: CrawlSettings, source: str) -> None:
    """Refuse by what the header announces, before anything is decoded."""
    width, height = image.size
    if width * height > settings.max_pixels:
        raise RefusedPictureError(Status.BOMB, f"{width} x {height} pixels", source)
    if min(width, height) < settings.min_side:
        raise RefusedPictureError(Status.TOO_SMALL, f"{width} x {height} pixels", source)
    if held > settings.max_decode_bytes:
        raise RefusedPictureError(Status.BOMB, f"{width} x {height} pixels take {held} bytes to decode", source)


def _bytes_to_decode(body: bytes, image: Image.Image, size: tuple[int, int]) -> int:
    """About how much memory the decoding takes, seen from the header alone."""
    if image.format in _JPEGS:
        return jpeg.bytes_to_decode(body, image.size, size)
    return any_format.bytes_to_decode(image, size)


def _stored_pixels(body: bytes, image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """uint8[height, width, 3] in sRGB: reduced first, since every later step is cheaper on fewer pixels."""
    profile, orientation = image.info.get("icc_profile"), _orientation(image)
    pixels = _common_jpeg(body, image.size, size) if image.format in _JPEGS else None
    if pixels is None:
        pixels = np.asarray(to_srgb(any_format.decode(image, size), profile))
    elif profile or pixels.ndim == 2:
        pixels = np.asarray(to_srgb(Image.fromarray(pixels), profile))
    return upright(pixels, orientation)


def _common_jpeg(body: bytes, announced: tuple[int, int], size: tuple[int, int]) -> np.ndarray | None:
    """The reduced pixels of a JPEG in gray or RGB, as they lie in the file; None for any other JPEG."""
    divisor = jpeg.divisor_for(announced, size)
    pixels = jpeg.decode(body, announced, divisor)
    return None if pixels is None else shrink(pixels, size, (announced[0] / divisor, announced[1] / divisor))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 if there is none or the EXIF block is damaged (which does not spoil the pixels)."""
    if "exif" not in image.info and image.format in _JPEGS:
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 as in store_picture
        return 1


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
