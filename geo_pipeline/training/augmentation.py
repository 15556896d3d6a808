"""What a photo goes through before the network learns from it.

Here live the random resized crop and the flip. The one idea: the randomness is an argument, seeded by (seed, epoch,
row) alone, so that a photo's pixels depend neither on workers nor on an interruption.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from geo_pipeline.model.preprocessing import Pixels, pixels_of
from geo_pipeline.training.config import AugmentationSettings

_MAX_TRIES = 10


def augmented(image: Image.Image, size: int, settings: AugmentationSettings, random: np.random.Generator) -> Pixels:
    """uint8[3, size, size]: a random crop of an RGB picture, resized, perhaps mirrored."""
    box = random_crop_box(image.width, image.height, settings, random)
    crop = pixels_of(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
    return crop[..., ::-1] if settings.flip and random.random() < 0.5 else crop


def random_crop_box(
    width: int, height: int, settings: AugmentationSettings, random: np.random.Generator
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom in pixels (real numbers) of a crop with random area, shape and place.

    After ten shapes that do not fit it is the largest centred square. Source: Szegedy et al. 2015, with the limits of
    torchvision's RandomResizedCrop.
    """
    narrowest, widest = (math.log(ratio) for ratio in settings.crop_ratio)
    for _ in range(_MAX_TRIES):
        area = width * height * random.uniform(*settings.crop_scale)
        ratio = math.exp(random.uniform(narrowest, widest))
        crop_width, crop_height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if crop_width <= width and crop_height <= height:
            left, top = random.uniform(0, width - crop_width), random.uniform(0, height - crop_height)
            return left, top, min(left + crop_width, width), min(top + crop_height, height)
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side
