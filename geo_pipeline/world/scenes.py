"""Scenes: how much water, vegetation and bare land a view of the Earth shows.

Here lives the classing of Blue Marble's pixels by colour. The one idea: shares are taken from the plain view of a
place, so a photo's own light and zoom do not change what its scene is; snow and ice count as bare land.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt
from PIL import Image


class Scene(IntEnum):
    """The scenes of the world; the value is the `S3_Label`."""

    WATER = 0
    VEGETATION = 1
    BARE = 2


_SHARE_DECIMALS = 3


def scene_shares(view: Image.Image) -> tuple[float, float, float]:
    """Shares of an RGB view's pixels for water, vegetation and bare land, to 3 decimals; they add up to exactly 1."""
    counts = np.bincount(classify(np.asarray(view)).ravel(), minlength=len(Scene))
    unit = 10**_SHARE_DECIMALS
    # Rounding the running total instead of each share keeps the sum.
    parts = np.diff(np.rint(np.cumsum(counts) / counts.sum() * unit), prepend=0.0)
    water, vegetation, bare = (parts / unit).tolist()
    return water, vegetation, bare


def classify(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The `Scene` of each pixel: uint8[..., 3] RGB to int64[...].

    Thresholds were set by eye on Blue Marble: its seas are blue and never bright, its lakes nearly black; plants are
    at least 95 % as green as red, not bluish and not bright; everything else is rock, sand or snow.
    """
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    darkest, brightest = pixels.min(axis=-1), pixels.max(axis=-1)
    water = ((blue > green) & (blue > red) & (darkest < 120)) | (brightest < 24)
    vegetation = (20 * green >= 19 * red) & (blue < green) & (darkest < 150)
    return np.select([water, vegetation], [Scene.WATER, Scene.VEGETATION], Scene.BARE)
