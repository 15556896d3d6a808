"""From whatever Pillow decodes to 8-bit sRGB.

Here live transparency, more than 8 bits, and colour profiles. Sizes, orientation and files are not known here. The one
idea: a profile that means sRGB, as most photos' do, is recognised once and costs nothing afterwards.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_WHITE = (255, 255, 255, 255)
_PROFILE_MODES = frozenset({"RGB", "L", "CMYK"})
_SAME_LEVELS = 2
_SAMPLES = np.stack(np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * 3), axis=-1).reshape(1, -1, 3)


def without_alpha(image: Image.Image) -> Image.Image:
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
    levels = samples * 255.0 if samples.dtype.kind == "f" else samples >> 8
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB by the embedded ICC profile of an RGB, L or CMYK picture; a damaged or ill-fitting one counts as none."""
    if profile:
        try:
            transform = _transform(profile, image.mode)
            if transform is not None:
                return ImageCms.applyTransform(image, transform) or image.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The colour transform to sRGB (making one costs milliseconds, and few profiles serve most photos).

    None if it moves no colour by more than two levels, as profiles that mean sRGB do by their roundings.
    """
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    if mode != "RGB":
        return transform
    samples = Image.fromarray(_SAMPLES)
    moved = np.asarray(ImageCms.applyTransform(samples, transform), np.int16) - _SAMPLES
    return transform if np.abs(moved).max() > _SAME_LEVELS else None
