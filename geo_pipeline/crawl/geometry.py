"""A fast antialiased reduction of decoded pixels, and turning them upright.

Where pixels come from and what becomes of them is not known here. The one idea: a small low-pass filter followed by
cubic interpolation is what an antialiased resize does; OpenCV has vector instructions for both, so that together they
take less than half of INTER_AREA's time, and they come closer to Pillow's resize than it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

cv2.setNumThreads(0)  # the crawl has threads of its own; more would only fight over the same cores

_NARROW_UP_TO = 2.4
_WIDE_UP_TO = 3.0
_UPRIGHT: Mapping[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.flip(cv2.transpose(pixels), -1),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def shrink(pixels: np.ndarray, size: tuple[int, int], extent: tuple[float, float]) -> np.ndarray:
    """uint8[height, width] or [height, width, 3] reduced to `size` (width, height); the same array if it has it.

    `extent` is the (width, height) of the picture in these pixels: of a width of 683 decoded at one half, the last of
    342 columns holds one half column.
    """
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    factor = min(extent) / min(size)
    if factor > _WIDE_UP_TO:
        return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    kernel = low_pass(factor)
    filtered = cv2.sepFilter2D(pixels, -1, kernel, kernel)
    if extent == (width, height):
        return cv2.resize(filtered, size, interpolation=cv2.INTER_CUBIC)
    return _interpolated(filtered, size, extent)


def _interpolated(pixels: np.ndarray, size: tuple[int, int], extent: tuple[float, float]) -> np.ndarray:
    """Cubic interpolation of an extent that ends within the last pixels: slower, so only where it is needed."""
    x, y = extent[0] / size[0], extent[1] / size[1]
    matrix = np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5]])  # the middle of a pixel lies at 0.5
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(pixels, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def low_pass(factor: float) -> np.ndarray:
    """The filter before a reduction by 1 to 3: float64[3] or, for more than 2.4, float64[5]; its sum is 1.

    The weights were fitted so that photos come closest to Pillow's bicubic and Lanczos resizes (benchmarks/pictures.py
    shows how close).
    """
    if factor <= _NARROW_UP_TO:
        side = 0.2 * factor - 0.17
        return np.array([side, 1 - 2 * side, side])
    return cv2.getGaussianKernel(5, 0.3 * factor + 0.1)[:, 0]


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels turned as an EXIF orientation says (1 to 8; EXIF 2.32, section 4.6.4); the same array for any other."""
    return _UPRIGHT[orientation](pixels) if orientation in _UPRIGHT else pixels
