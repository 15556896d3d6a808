"""From the bytes of any picture to the JPEG that is stored.

Here live the guards before decoding (format, pixels, size) and the decoding itself with Pillow: first frame, short
side at most `image_size`, upright, 3-channel sRGB, no metadata. Where bytes come from and go to is not known here. The
one idea: a GPS tag left in a picture would leak the label, so the stored file is encoded anew from pixels alone.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.shards.manifest import Status

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
"""Formats of photos on the web. Others stay closed: some of Pillow's readers start programs (EPS) or are obscure."""

_ORIENTATION_TAG = 0x0112  # EXIF 2.32, section 4.6.4
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WHITE = (255, 255, 255, 255)
_PROFILE_MODES = frozenset({"RGB", "L", "CMYK"})


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
        _guard(image, settings, source)
        try:
            upright = _upright_rgb(image, settings.image_size)
            jpeg = _encode(upright, settings.quality)
        except Exception as error:  # whatever a decoder raises on hostile bytes means that it cannot read them
            raise RefusedPictureError(Status.CORRUPT, _describe(error), source) from error
    return StoredPicture(jpeg, upright.width, upright.height, source, hashlib.sha256(jpeg).hexdigest())


def _open(body: bytes, source: str) -> Image.Image:
    """Read the header only."""
    try:
        return Image.open(io.BytesIO(body), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RefusedPictureError(Status.BOMB, _describe(error), source) from error
    except UnidentifiedImageError as error:
        raise RefusedPictureError(Status.NOT_AN_IMAGE, f"no picture begins {body[:16]!r}", source) from error
    except Exception as error:  # as above: a header that breaks its reader
        raise RefusedPictureError(Status.CORRUPT, _describe(error), source) from error


def _guard(image: Image.Image, settings: CrawlSettings, source: str) -> None:
    """Refuse by the size that the header announces, before anything is decoded."""
    width, height = image.size
    if width * height > settings.max_pixels:
        raise RefusedPictureError(Status.BOMB, f"{width} x {height} pixels", source)
    if min(width, height) < settings.min_side:
        raise RefusedPictureError(Status.TOO_SMALL, f"{width} x {height} pixels", source)


def _upright_rgb(image: Image.Image, short_side: int) -> Image.Image:
    """The first frame: resized first, since every later step is cheaper on fewer pixels."""
    profile, orientation = image.info.get("icc_profile"), _orientation(image)
    width, height = image.size
    scale = min(1.0, short_side / min(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if scale < 1.0:
        image.draft(None, (2 * size[0], 2 * size[1]))  # a JPEG decoded at 1/2, 1/4 or 1/8; twice the target stays sharp
    plain = _without_alpha(image)
    if scale < 1.0:
        plain = plain.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    rgb = _to_srgb(plain, profile)
    return rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 if there is none or the EXIF block is damaged (which does not spoil the pixels)."""
    if "exif" not in image.info and image.format == "JPEG":
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 as in store_picture
        return 1


def _without_alpha(image: Image.Image) -> Image.Image:
    """The decoded pixels in 8 bits as RGB, L or CMYK; what is transparent shows white."""
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, _WHITE), layer).convert("RGB")
    if image.mode in _PROFILE_MODES:
        image.load()
        return image
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """The high 8 of 16 bits of gray (Pillow's own conversion would clip); float samples count from 0 to 1."""
    samples = np.asarray(image)
    levels = samples * 255.0 if samples.dtype.kind == "f" else samples.astype(np.int64) >> 8
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert by the embedded ICC profile; a damaged or ill-fitting profile counts as none."""
    if profile:
        try:
            converted = ImageCms.applyTransform(image, _transform(profile, image.mode))
        except (ImageCms.PyCMSError, OSError, ValueError):
            return image.convert("RGB")
        return image.convert("RGB") if converted is None else converted
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """The colour transform to sRGB: making one costs milliseconds, and few profiles serve most photos."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


def _encode(image: Image.Image, quality: int) -> bytes:
    """A baseline JPEG of the pixels and nothing else."""
    image.info.clear()  # Pillow copies comments and more from here
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
