from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from geo_pipeline.model.preprocessing import crops_for_test, resize
from geo_pipeline.model.settings import NetworkSettings

SETTINGS = NetworkSettings(architecture="small_resnet", image_size=64, resize_size=72)


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(80, 80), (90, 72), (50, 120), (333, 71)])
def test_five_crops_are_those_of_torchvision(size: tuple[int, int]) -> None:
    resized = functional.resize(picture(*size), [72])
    expected = [np.asarray(crop).transpose(2, 0, 1) for crop in functional.five_crop(resized, [64])]
    crops = crops_for_test(picture(*size), SETTINGS, 5)
    np.testing.assert_allclose(crops[:4].astype(int), expected[:4], atol=1)
    centre = np.abs(crops[4].astype(int) - expected[4])  # an odd free margin may be rounded to the other pixel
    assert centre.max() <= 1 or (resized.width - 64) % 2 or (resized.height - 64) % 2


def test_one_crop_is_the_centre_of_five() -> None:
    np.testing.assert_array_equal(
        crops_for_test(picture(80, 80), SETTINGS, 1)[0], crops_for_test(picture(80, 80), SETTINGS, 5)[4]
    )


def test_ten_crops_are_five_and_their_mirror_images() -> None:
    ten = crops_for_test(picture(80, 90), SETTINGS, 10)
    np.testing.assert_array_equal(ten[:5], crops_for_test(picture(80, 90), SETTINGS, 5))
    np.testing.assert_array_equal(ten[5:], ten[:5, :, :, ::-1])
    torch.from_numpy(ten)  # no negative strides


def test_pixels_give_the_crops_of_the_picture() -> None:
    pixels = np.asarray(picture(90, 80))
    np.testing.assert_array_equal(crops_for_test(pixels, SETTINGS, 5), crops_for_test(picture(90, 80), SETTINGS, 5))


@pytest.mark.parametrize("size", [(40, 30), (64, 64), (200, 90)])
def test_resizing_is_pillows_within_rounding(size: tuple[int, int]) -> None:
    pixels = np.array(picture(*size))
    expected = np.asarray(picture(*size).resize((64, 48), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    np.testing.assert_allclose(resize(pixels, 48, 64)[0].numpy().astype(int), expected, atol=1)
