from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from geo_pipeline.world.scenes import Scene, classify, scene_shares
from geo_pipeline.world.views import plain_view


@pytest.mark.parametrize(
    ("place", "scene"),
    [
        ((0.0, -150.0), Scene.WATER),
        ((56.0, 3.0), Scene.WATER),
        ((47.7, -87.5), Scene.WATER),  # Lake Superior is nearly black, not blue
        ((-5.0, -63.0), Scene.VEGETATION),
        ((63.0, 16.0), Scene.VEGETATION),
        ((48.6, 2.0), Scene.VEGETATION),
        ((23.0, 5.0), Scene.BARE),
        ((72.0, -40.0), Scene.BARE),  # the ice of Greenland
        ((-25.0, 130.0), Scene.BARE),
    ],
)
def test_known_grounds_have_their_scene(place: tuple[float, float], scene: Scene) -> None:
    middle = np.asarray(plain_view(*place, zoom=0.1))
    assert np.mean(classify(middle) == scene) > 0.95


def test_shares_count_pixels() -> None:
    pixels = np.empty((10, 10, 3), np.uint8)
    pixels[:5], pixels[5:8], pixels[8:] = (20, 60, 120), (30, 60, 20), (160, 140, 100)
    assert scene_shares(Image.fromarray(pixels)) == (0.5, 0.3, 0.2)


def test_rounded_shares_add_up_to_one() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        pixels = random.integers(0, 256, (7, 11, 3), dtype=np.uint8)
        shares = scene_shares(Image.fromarray(pixels))
        counts = np.bincount(classify(pixels).ravel(), minlength=3) / 77
        assert round(sum(shares), 9) == 1.0
        assert min(shares) >= 0.0
        np.testing.assert_allclose(shares, counts, atol=0.001)
