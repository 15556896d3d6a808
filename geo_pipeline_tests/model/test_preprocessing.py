from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from geo_pipeline.model.preprocessing import crops_for_test, decode
from geo_pipeline.model.settings import NetworkSettings

SETTINGS = NetworkSettings(architecture="small_resnet", image_size=64, resize_size=72)


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(80, 80), (90, 72), (50, 120), (333, 71)])
def test_five_crops_are_those_of_torchvision(size: tuple[int, int]) -> None:
    resized = functional.resize(picture(*size), [72])
    expected = [np.asarray(crop).transpose(2, 0, 1) for crop in functional.five_crop(resized, [64])]
    crops = crops_for_test(picture(*size), SETTINGS, 5)
    np.testing.assert_array_equal(crops[:4], expected[:4])
    centre = np.abs(crops[4].astype(int) - expected[4])  # an odd free margin may be rounded to the other pixel
    assert centre.max() == 0 or (resized.width - 64) % 2 or (resized.height - 64) % 2


def test_one_crop_is_the_centre_of_five() -> None:
    np.testing.assert_array_equal(
        crops_for_test(picture(80, 80), SETTINGS, 1)[0], crops_for_test(picture(80, 80), SETTINGS, 5)[4]
    )


def test_ten_crops_are_five_and_their_mirror_images() -> None:
    ten = crops_for_test(picture(80, 90), SETTINGS, 10)
    np.testing.assert_array_equal(ten[:5], crops_for_test(picture(80, 90), SETTINGS, 5))
    np.testing.assert_array_equal(ten[5:], ten[:5, :, :, ::-1])
    torch.from_numpy(ten)  # no negative strides


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_every_jpeg_becomes_three_channels(mode: str) -> None:
    buffer = io.BytesIO()
    picture(20, 30).convert(mode).save(buffer, "JPEG")
    assert (decode(buffer.getvalue()).mode, decode(buffer.getvalue()).size) == ("RGB", (20, 30))


def test_half_a_jpeg_is_an_os_error() -> None:
    buffer = io.BytesIO()
    picture(80, 80).save(buffer, "JPEG")
    with pytest.raises(OSError, match="truncated"):
        decode(buffer.getvalue()[:1500])
