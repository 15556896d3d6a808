"""From a photo to the pixels that a network sees.

Here live resizing and the crops of validation and test. Decoding is in `decoding.py`, the random crops of training
are in `geo_pipeline.training.augmentation`. The one idea: everything up to the network stays uint8; normalisation
belongs to the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from geo_pipeline.model.decoding import HwcPixels
from geo_pipeline.model.settings import NetworkSettings

Pixels = npt.NDArray[np.uint8]
NumCrops = Literal[1, 5, 10]

_CORNERS_AND_CENTRE = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5))
_CROP_PLACES: Mapping[int, tuple[tuple[float, float], ...]] = MappingProxyType(
    {1: ((0.5, 0.5),), 5: _CORNERS_AND_CENTRE, 10: _CORNERS_AND_CENTRE}
)


def resize(pixels: HwcPixels, height: int, width: int) -> Tensor:
    """uint8[1, 3, height, width] of a picture or of a part of it, with the antialiased linear filter.

    Source: torch's own filter, which is Pillow's BILINEAR, in whole numbers; three times as fast
    (benchmarks/loader.md).
    """
    planes = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)  # in this order they are seen to be channels last
    return functional.interpolate(planes, (height, width), mode="bilinear", antialias=True)


def crops_for_test(image: Image.Image | HwcPixels, settings: NetworkSettings, crops: NumCrops) -> Pixels:
    """uint8[crops, 3, image_size, image_size]: the short side resized to `resize_size`, then cut out.

    `image` is an RGB picture, Pillow's or its pixels. 1: the centre; 5: corners and centre; 10: these and their mirror
    images (Krizhevsky et al. 2012).
    """
    pixels = np.require(image, np.uint8, "W")  # Pillow lends its pixels for reading only
    resized = _resize_short_side(pixels, settings.resize_size)[0].numpy()
    size = settings.image_size
    free_height, free_width = resized.shape[1] - size, resized.shape[2] - size
    places = [(round(x * free_width), round(y * free_height)) for x, y in _CROP_PLACES[crops]]
    cut = np.stack([resized[:, top : top + size, left : left + size] for left, top in places])
    return np.concatenate([cut, cut[..., ::-1]]) if crops == 10 else cut


def _resize_short_side(pixels: HwcPixels, short_side: int) -> Tensor:
    """uint8[1, 3, h, w]: the short side at `short_side` pixels, the shape kept (the long side rounded down)."""
    height, width = (side * short_side // min(pixels.shape[:2]) for side in pixels.shape[:2])
    return resize(pixels, height, width)
