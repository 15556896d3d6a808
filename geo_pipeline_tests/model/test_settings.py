from __future__ import annotations

import pytest
from pydantic import ValidationError

from geo_pipeline.model.settings import NetworkSettings


def test_a_crop_larger_than_the_resized_photo_is_refused() -> None:
    with pytest.raises(ValidationError, match="resize_size: found 60, expected at least image_size 64"):
        NetworkSettings(image_size=64, resize_size=60)
