"""How good stored pictures are: against Pillow's antialiased resize of all pixels, beside img2dataset's way.

img2dataset 1.47 decodes everything, resizes with INTER_AREA and encodes, all by OpenCV.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from geo_pipeline.crawl.geometry import low_pass
from geo_pipeline.crawl.photo import store_picture
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline_tests.crawl.textures import encoded, psnr, textured

SETTINGS = CrawlSettings(image_size=320, quality=90)
FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
ORDINARY = [(640, 640), (640, 480), (480, 640), (640, 427), (640, 360), (500, 375), (500, 333), (800, 600), (1024, 683)]
LARGE = [(1024, 768), (1280, 853), (1280, 960), (1600, 1067), (1601, 1201), (2048, 1536)]


def ours(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(store_picture(body, SETTINGS).jpeg))


def by_area(body: bytes, size: tuple[int, int]) -> Image.Image:
    """img2dataset's steps."""
    pixels = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, SETTINGS.quality])[1]
    return Image.open(io.BytesIO(jpeg.tobytes()))


def gains(size: tuple[int, int], subsampling: int) -> list[float]:
    """By how many decibels our picture is closer to Pillow's than img2dataset's is, for each filter of Pillow."""
    body = encoded(textured(size, sum(size)), quality=90, subsampling=subsampling)
    image = ours(body)
    theirs = by_area(body, image.size)
    with Image.open(io.BytesIO(body)) as whole:
        references = [whole.resize(image.size, each) for each in FILTERS]
    return [psnr(image, reference) - psnr(theirs, reference) for reference in references]


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("size", ORDINARY)
def test_an_ordinary_photo_is_as_close_to_an_antialiased_resize(size: tuple[int, int], subsampling: int) -> None:
    assert min(gains(size, subsampling)) >= 0.0


def test_ordinary_photos_are_closer_on_the_whole() -> None:
    assert np.mean([gains(size, 2) for size in ORDINARY]) >= 0.3


@pytest.mark.parametrize("size", LARGE)
def test_large_photos_are_about_as_close_although_they_are_decoded_at_a_lower_scale(size: tuple[int, int]) -> None:
    assert min(gains(size, 2)) >= -0.5


@pytest.mark.parametrize("factor", np.linspace(1.0, 3.0, 41))
def test_the_filter_before_a_reduction_keeps_brightness_and_widens_with_it(factor: float) -> None:
    kernel = low_pass(factor)
    assert kernel.sum() == pytest.approx(1.0)
    assert kernel.min() > 0
    np.testing.assert_allclose(kernel, kernel[::-1])
    assert low_pass(min(factor + 0.05, 3.0)).max() <= kernel.max() + 0.02
