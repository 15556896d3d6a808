"""Whether contenders stored what they had to, and how near their pictures are to Pillow's."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

Sizes = dict[str, tuple[int, int]]


def expected_sizes(photo_ids: Sequence[str], photos: Sequence[bytes], short_side: int) -> Sizes:
    """Width and height to be stored: the photos repeat in the order of the ids, short sides become `short_side`."""
    sizes = [_small(_open(photo).size, short_side) for photo in photos]
    return {photo_id: sizes[number % len(sizes)] for number, photo_id in enumerate(photo_ids)}


def check_sizes(name: str, stored: Iterable[tuple[str, bytes]], expected: Sizes) -> None:
    """Raise AssertionError unless exactly these ids are stored, once each, at these sizes."""
    missing = dict(expected)
    for photo_id, jpeg in stored:
        size = _open(jpeg).size
        wanted = missing.pop(photo_id, None)
        assert size == wanted, f"{name}: {photo_id} is {size}, not {wanted} (None: not asked for, or twice)"
    assert not missing, f"{name}: {len(missing)} photos are missing, the first is {next(iter(missing))}"


def mean_psnr(stored: Iterable[tuple[str, bytes]], originals: Mapping[str, bytes]) -> float:
    """Decibels between stored pictures and Pillow's antialiased (bicubic) ones of their size: the mean over photos."""
    ratios = []
    for photo_id, jpeg in stored:
        picture = _open(jpeg)
        ideal = _open(originals[photo_id]).resize(picture.size, Image.Resampling.BICUBIC)
        error = np.asarray(picture, np.float64) - np.asarray(ideal, np.float64)
        ratios.append(10 * np.log10(255.0**2 / np.mean(error**2)))
    return float(np.mean(ratios))


def _small(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    scale = min(1.0, short_side / min(size))
    return round(size[0] * scale), round(size[1] * scale)


def _open(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg))
