from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from geo_pipeline.training.augmentation import augmented, random_crop_box
from geo_pipeline.training.config import AugmentationSettings

PAPER = AugmentationSettings()
SQUARE = AugmentationSettings(crop_ratio=(1.0, 1.0), flip=False)


def boxes(settings: AugmentationSettings, width: int, height: int) -> np.ndarray:
    random = np.random.default_rng(2)
    return np.array([random_crop_box(width, height, settings, random) for _ in range(2000)])


@pytest.mark.parametrize(("width", "height"), [(80, 80), (320, 480), (500, 320)])
def test_crops_lie_in_the_photo_and_keep_the_limits_of_area_and_shape(width: int, height: int) -> None:
    left, top, right, bottom = boxes(PAPER, width, height).T
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= width
    assert bottom.max() <= height
    area, ratio = (right - left) * (bottom - top) / (width * height), (right - left) / (bottom - top)
    fallback = np.isclose(right - left, min(width, height)) & np.isclose(bottom - top, min(width, height))
    assert area[~fallback].min() >= 0.66 - 1e-9
    assert area.max() <= 1 + 1e-9
    assert ratio.min() >= 3 / 4 - 1e-9
    assert ratio.max() <= 4 / 3 + 1e-9


def test_areas_of_square_crops_are_spread_evenly() -> None:
    left, top, right, bottom = boxes(SQUARE, 80, 80).T
    area = (right - left) * (bottom - top) / 6400
    np.testing.assert_allclose(right - left, bottom - top)
    assert area.mean() == pytest.approx(0.83, abs=0.01)
    assert np.percentile(area, [10, 90]) == pytest.approx([0.694, 0.966], abs=0.02)


def test_a_shape_that_never_fits_gives_the_centred_square() -> None:
    assert random_crop_box(300, 30, PAPER, np.random.default_rng(0)) == (135.0, 0.0, 165.0, 30.0)


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def test_pixels_are_a_function_of_the_generators_seed() -> None:
    first, again, other = (augmented(photo(), 32, PAPER, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first.shape, first.dtype) == ((3, 32, 32), np.uint8)


def test_the_whole_photo_without_a_flip_is_the_photo_resized() -> None:
    whole = AugmentationSettings(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=False)
    square = photo().resize((40, 40))
    pixels = augmented(square, 32, whole, np.random.default_rng(0))
    expected = np.asarray(square.resize((32, 32), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels, expected)


def test_half_of_the_photos_are_mirrored() -> None:
    whole = AugmentationSettings(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=True)
    square = photo().resize((32, 32))
    plain = np.asarray(square).transpose(2, 0, 1)
    mirrored = [
        (augmented(square, 32, whole, np.random.default_rng(seed)) == plain[..., ::-1]).all() for seed in range(400)
    ]
    assert np.mean(mirrored) == pytest.approx(0.5, abs=0.1)
