"""Photos for the benchmark: JPEGs of 100-150 KB, around 640 pixels, with the detail of real ones.

Here lives making them from NASA's Blue Marble and noise; serving them is `server.py`'s business. The one idea: a photo
is a function of its number, so that every process that asks has the same ones.
"""

from __future__ import annotations

import io
import itertools

import numpy as np
from PIL import Image

from geo_pipeline.world.views import blue_marble

SIZES = ((640, 480), (640, 427), (480, 640), (640, 512), (683, 512))
"""Width and height, in turn."""

MIN_BYTES, MAX_BYTES = 100_000, 150_000

_NOISE_PIXELS = 2048
_NOISE_LEVELS = (12.0, 24.0, 48.0, 96.0)
_QUALITIES = (95, 92, 88, 82, 75)
_MAX_LATITUDE = 70.0  # further north and south a view is one plain white


def make_photos(count: int) -> list[bytes]:
    """The first `count` photos, encoded, each with MIN_BYTES to MAX_BYTES bytes."""
    noise = _natural_noise(np.random.Generator(np.random.PCG64(0)))
    return [_photo(number, noise) for number in range(count)]


def _photo(number: int, noise: np.ndarray) -> bytes:
    """A piece of the Earth with grain, in the best quality that is no longer than a photo."""
    random = np.random.Generator(np.random.PCG64(number))
    width, height = SIZES[number % len(SIZES)]
    earth = _piece_of_the_earth(random, width, height)
    top, left = random.integers(_NOISE_PIXELS - height), random.integers(_NOISE_PIXELS - width)
    grain = noise[top : top + height, left : left + width]
    for strength, quality in itertools.product(_NOISE_LEVELS, _QUALITIES):
        pixels = np.clip(earth + strength * grain[..., None], 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        if MIN_BYTES < buffer.tell() < MAX_BYTES:
            return buffer.getvalue()
    raise AssertionError(f"photo {number}: nothing gives it {MIN_BYTES} to {MAX_BYTES} bytes")


def _piece_of_the_earth(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """float32[height, width, 3] at Blue Marble's own resolution."""
    earth = blue_marble()
    edge = round((90.0 - _MAX_LATITUDE) / 180.0 * earth.height)
    left = int(random.integers(earth.width - width))
    top = int(random.integers(edge, earth.height - edge - height))
    return np.asarray(earth.crop((left, top, left + width, top + height)), np.float32)


def _natural_noise(random: np.random.Generator) -> np.ndarray:
    """float32[2048, 2048] with mean 0 and deviation 1, whose amplitude falls with frequency as in photos (1/f)."""
    spectrum = np.fft.rfft2(random.normal(size=(_NOISE_PIXELS, _NOISE_PIXELS)))
    rows, columns = np.fft.fftfreq(_NOISE_PIXELS)[:, None], np.fft.rfftfreq(_NOISE_PIXELS)[None, :]
    noise = np.fft.irfft2(spectrum / np.maximum(np.hypot(rows, columns), 1 / _NOISE_PIXELS))
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)
