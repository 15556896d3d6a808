from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.model.preprocessing import resize
from geo_pipeline.training.device_crops import resized_cuts
from geo_pipeline.training.loader import training_loader
from geo_pipeline.training.pictures import Cuts
from geo_pipeline_tests.training.test_loader import PARAMS, labelled, with_loader

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
extents = st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90), st.booleans()), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(extents, st.integers(1, 40), st.sampled_from(DEVICES))
def test_a_batch_of_crops_is_resized_as_each_one_alone(
    crops: list[tuple[int, int, bool]], size: int, device: str
) -> None:
    canvas = np.random.default_rng(len(crops)).integers(0, 256, (len(crops), 90, 90, 3), dtype=np.uint8)
    expected = []
    for picture, (width, height, flip) in zip(canvas, crops, strict=True):
        alone = resize(picture[:height, :width], size, size)
        expected.append(alone.flip(3) if flip else alone)
    cuts = Cuts(np.array([crop[:2] for crop in crops]), np.array([crop[2] for crop in crops]))
    resized = resized_cuts(torch.from_numpy(canvas).permute(0, 3, 1, 2).to(device), cuts, size)
    assert resized.is_contiguous(memory_format=torch.channels_last)
    assert (resized.cpu().int() - torch.cat(expected).int()).abs().max() <= 1


@pytest.mark.parametrize("workers", [0, 1])
def test_where_crops_are_resized_changes_pixels_by_rounding_only(tmp_path: Path, workers: int) -> None:
    photos = labelled(tmp_path)
    by_workers = training_loader(photos, PARAMS)
    by_device = training_loader(photos, with_loader(augment_on="device", num_workers=workers))
    for one, other in zip(by_workers, by_device, strict=True):
        assert one.images.shape == other.images.shape
        assert (one.images.int() - other.images.int()).abs().max() <= 1
        assert torch.equal(one.labels, other.labels)


def test_a_batch_without_photos_has_no_crops() -> None:
    cuts = Cuts(np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype=bool))
    assert resized_cuts(torch.empty((0, 3, 1, 1), dtype=torch.uint8), cuts, 32).shape == (0, 3, 32, 32)
