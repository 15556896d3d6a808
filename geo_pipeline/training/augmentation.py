"""What photos go through before the network learns from them.

Here live the random crops and flips of a batch. Cutting and resizing is `geo_pipeline.model.preprocessing`. The one
idea: which crop a photo gets is a pure function of (seed, epoch, row) and its size, so that its pixels depend neither
on workers nor on an interruption.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geo_pipeline.training.config import AugmentationSettings
from geo_pipeline.training.philox import uniform_numbers

_TRIES = 10
_NUMBERS = 3 + 2 * _TRIES  # place in both directions, flip; area and shape of each try

Numbers = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Crops(NamedTuple):
    """The crops of n photos: boxes int64[n, 4] (left, top, right, bottom in pixels), flips bool[n]."""

    boxes: Integers
    flips: npt.NDArray[np.bool_]


def random_crops(sizes: Integers, rows: Integers, settings: AugmentationSettings, *, seed: int, epoch: int) -> Crops:
    """The crops of the photos in `rows` (int64[n]) with `sizes` (int64[n, 2]: width, height) in an epoch.

    Area, shape and place are random; after ten shapes that do not fit it is the largest centred square. Source:
    Szegedy et al. 2015, with the limits of torchvision's RandomResizedCrop and, as there, whole pixels.
    """
    across, down, mirrored, *shapes = uniform_numbers(seed, epoch, rows, _NUMBERS)
    extents, fits = _extents(sizes, np.stack(shapes), settings)
    free = sizes - extents
    places = np.stack([across, down], axis=1) * (free + 1)
    corners = np.where(fits[:, None], places.astype(np.int64), free // 2)
    flips = (mirrored < 0.5) & settings.flip
    return Crops(np.concatenate([corners, corners + extents], axis=1), flips)


def _extents(
    sizes: Integers, shapes: Numbers, settings: AugmentationSettings
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Width and height of each crop, int64[n, 2], of the first try that fits, and whether one did, bool[n]."""
    least, most = settings.crop_scale
    narrowest, widest = (math.log(ratio) for ratio in settings.crop_ratio)
    areas = sizes.prod(axis=1) * (least + (most - least) * shapes[0::2])
    ratios = np.exp(narrowest + (widest - narrowest) * shapes[1::2])
    tries = np.stack([np.sqrt(areas * ratios), np.sqrt(areas / ratios)], axis=2).round().astype(np.int64)
    possible = np.all((tries <= sizes) & (tries > 0), axis=2)  # tries x photos
    fits, first = np.any(possible, axis=0), possible.argmax(axis=0)
    chosen = tries[first, np.arange(len(sizes))]
    return np.where(fits[:, None], chosen, sizes.min(axis=1, keepdims=True)), fits


def smallest_extents(sizes: Integers, settings: AugmentationSettings) -> Numbers:
    """Width and height of the smallest crop that photos of `sizes` can get, float64[n, 2], pixels."""
    area = sizes.prod(axis=1) * settings.crop_scale[0]
    by_shape = np.sqrt(np.stack([area * settings.crop_ratio[0], area / settings.crop_ratio[1]], axis=1))
    smallest: Numbers = np.minimum(by_shape, sizes.min(axis=1, keepdims=True))
    return smallest
