from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.training.augmentation import Crops, random_crops, smallest_extents
from geo_pipeline.training.config import AugmentationSettings

PAPER = AugmentationSettings()
SQUARE = AugmentationSettings(crop_ratio=(1.0, 1.0), flip=False)


def crops(settings: AugmentationSettings, width: int, height: int, num_photos: int = 2000, **place: int) -> Crops:
    sizes = np.broadcast_to([width, height], (num_photos, 2))
    return random_crops(sizes, np.arange(num_photos), settings, **{"seed": 2, "epoch": 0, **place})


@pytest.mark.parametrize(("width", "height"), [(80, 80), (320, 480), (500, 320)])
def test_crops_lie_in_the_photo_and_keep_the_limits_of_area_and_shape(width: int, height: int) -> None:
    left, top, right, bottom = crops(PAPER, width, height).boxes.T
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= width
    assert bottom.max() <= height
    area, ratio = (right - left) * (bottom - top) / (width * height), (right - left) / (bottom - top)
    fallback = (right - left == min(width, height)) & (bottom - top == min(width, height))
    rounding = 1 / min(width, height)
    assert area[~fallback].min() >= 0.66 - rounding
    assert ratio.min() >= 3 / 4 - 2 * rounding
    assert ratio.max() <= 4 / 3 + 2 * rounding


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 50))
def test_no_crop_is_smaller_than_the_smallest_or_larger_than_the_photo(width: int, height: int, seed: int) -> None:
    boxes = crops(PAPER, width, height, 50, seed=seed).boxes
    extents = boxes[:, 2:] - boxes[:, :2]
    assert (extents >= 1).all()
    assert (extents >= smallest_extents(np.array([[width, height]]), PAPER) - 0.5).all()
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] <= [width, height]).all()


def test_areas_and_places_of_square_crops_are_spread_evenly() -> None:
    left, top, right, bottom = crops(SQUARE, 800, 800).boxes.T
    area = (right - left) * (bottom - top) / 640_000
    np.testing.assert_array_equal(right - left, bottom - top)
    assert area.mean() == pytest.approx(0.83, abs=0.01)
    assert np.percentile(area, [10, 90]) == pytest.approx([0.694, 0.966], abs=0.02)
    for corner in (left, top):
        share = (corner / np.maximum(800 - (right - left), 1))[right - left < 780]
        assert np.percentile(share, [10, 50, 90]) == pytest.approx([0.1, 0.5, 0.9], abs=0.04)
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.5  # both grow with what the crop leaves free, and with nothing else


def test_a_shape_that_never_fits_gives_the_centred_square() -> None:
    assert set(map(tuple, crops(PAPER, 300, 30).boxes.tolist())) == {(135, 0, 165, 30)}


def test_half_of_the_photos_are_mirrored_if_wanted() -> None:
    assert crops(PAPER, 40, 40).flips.mean() == pytest.approx(0.5, abs=0.05)
    assert not crops(SQUARE, 40, 40).flips.any()


def test_a_photos_crop_depends_on_seed_epoch_and_row_but_not_on_its_batch() -> None:
    rows, sizes = np.array([7, 3, 900]), np.array([[80, 60], [320, 400], [90, 90]])
    whole = random_crops(sizes, rows, PAPER, seed=1, epoch=4)
    for i in range(3):
        alone = random_crops(sizes[i : i + 1], rows[i : i + 1], PAPER, seed=1, epoch=4)
        np.testing.assert_array_equal(alone.boxes[0], whole.boxes[i])
        assert alone.flips[0] == whole.flips[i]
    for other in ({"seed": 2, "epoch": 4}, {"seed": 1, "epoch": 5}):
        assert (random_crops(sizes, rows, PAPER, **other).boxes != whole.boxes).any()
