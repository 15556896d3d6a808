"""Photo-like test pictures: smooth shapes, edges, and texture of every size, made from a seed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def textured(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """An RGB picture whose spectrum falls with frequency as that of photos does (1/f), with edges and some noise."""
    rng = np.random.default_rng(seed)
    width, height = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    layers = [
        np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / frequency, s=(height, width)) for _ in range(4)
    ]
    light, *colours = [layer / layer.std() for layer in layers]
    edges = np.sign(light) * 25
    pixels = np.stack([128 + 35 * light + edges + 12 * colour for colour in colours], axis=-1)
    noisy = pixels + rng.normal(scale=3, size=pixels.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, picture_format: str = "JPEG", **options: Any) -> bytes:
    """The bytes of a file of a picture."""
    buffer = io.BytesIO()
    image.save(buffer, picture_format, **options)
    return buffer.getvalue()


def psnr(a: Image.Image, b: Image.Image) -> float:
    """Peak signal-to-noise ratio of two RGB pictures of one size, in decibels."""
    assert a.size == b.size
    error = np.mean((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))
