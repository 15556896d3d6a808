"""From a stored JPEG to the pixels that a network sees.

Here live decoding and the crops of validation and test. The random crops of training are in
`geo_pipeline.training.augmentation`. The one idea: everything up to the network stays uint8; normalisation belongs
to the network.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from geo_pipeline.model.settings import NetworkSettings

Pixels = npt.NDArray[np.uint8]
NumCrops = Literal[1, 5, 10]

_CORNERS_AND_CENTRE = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5))
_CROP_PLACES: Mapping[int, tuple[tuple[float, float], ...]] = MappingProxyType(
    {1: ((0.5, 0.5),), 5: _CORNERS_AND_CENTRE, 10: _CORNERS_AND_CENTRE}
)


def decode(jpeg: bytes) -> Image.Image:
    """The decoded picture as RGB. Raises OSError for bytes that are no whole picture."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return image.convert("RGB")


def pixels_of(image: Image.Image) -> Pixels:
    """An RGB picture as uint8[3, h, w]."""
    return np.asarray(image).transpose(2, 0, 1)


def crops_for_test(image: Image.Image, settings: NetworkSettings, crops: NumCrops) -> Pixels:
    """uint8[crops, 3, image_size, image_size]: the short side resized to `resize_size`, then cut out.

    1: the centre; 5: corners and centre; 10: these and their mirror images (Krizhevsky et al. 2012).
    """
    resized = pixels_of(_resize_short_side(image, settings.resize_size))
    size = settings.image_size
    free_height, free_width = resized.shape[1] - size, resized.shape[2] - size
    places = [(round(x * free_width), round(y * free_height)) for x, y in _CROP_PLACES[crops]]
    cut = np.stack([resized[:, top : top + size, left : left + size] for left, top in places])
    return np.concatenate([cut, cut[..., ::-1]]) if crops == 10 else cut


def _resize_short_side(image: Image.Image, short_side: int) -> Image.Image:
    """The picture with its short side at `short_side` pixels and its shape kept (the long side rounded down)."""
    width, height = (side * short_side // min(image.size) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)
