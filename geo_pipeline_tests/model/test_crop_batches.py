from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geo_pipeline.errors import InputError
from geo_pipeline.model.crop_batches import CropBatch, in_groups, load_crops
from geo_pipeline.model.pictures import BrokenPictureError
from geo_pipeline.model.settings import NetworkSettings

SETTINGS = NetworkSettings(architecture="small_resnet", image_size=16, resize_size=16)


class Numbered:
    """Pictures that show the number of their row; every fifth cannot be read."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def image(self, row: int) -> Image.Image:
        if row % 5 == 3:
            raise BrokenPictureError(f"number {row}")
        return Image.new("RGB", (20, 16), (row, row, row))


class Damaged(Numbered):
    """A source whose second picture shows that its file must be replaced."""

    def image(self, row: int) -> Image.Image:
        if row == 1:
            raise InputError("shard-7.msg: damaged; remove it")
        return super().image(row)


def numbered(rows: list[int]) -> CropBatch:
    crops = torch.tensor(rows, dtype=torch.uint8).reshape(-1, 1, 1, 1, 1).expand(-1, 5, 3, 4, 4)
    faults = {row + 1: "broken" for row in rows if row % 10 == 6}
    return CropBatch(rows, crops if rows else torch.empty((0, 1, 3, 1, 1), dtype=torch.uint8), faults)


@given(st.lists(st.integers(0, 7), max_size=8), st.integers(1, 9))
def test_groups_hold_the_same_photos_in_the_same_order_however_they_came(sizes: list[int], num_photos: int) -> None:
    ends = np.cumsum([0, *sizes]).tolist()
    batches = [numbered(list(range(*pair))) for pair in pairwise(ends)]
    groups = list(in_groups(iter(batches), num_photos))
    assert [row for group in groups for row in group.rows] == list(range(ends[-1]))
    assert all(len(group.rows) == num_photos for group in groups[:-1])
    for group in groups:
        assert len(group.crops) == len(group.rows)
        assert not group.rows or group.crops[:, 4, 2, 3, 3].tolist() == list(group.rows)
    faults = [fault for group in groups for fault in group.faults]
    assert faults == [row + 1 for row in range(ends[-1]) if row % 10 == 6]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_every_photo_is_loaded_once_and_broken_ones_are_told(batch_size: int, num_workers: int) -> None:
    batches = list(load_crops(Numbered(13), SETTINGS, 5, batch_size=batch_size, num_workers=num_workers))
    rows = [row for batch in batches for row in batch.rows]
    assert rows == [row for row in range(13) if row % 5 != 3]
    assert [int(crops[0, 0, 0, 0]) for batch in batches for crops in batch.crops] == rows
    assert {row: text for batch in batches for row, text in batch.faults.items()} == {3: "number 3", 8: "number 8"}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_a_user_must_mend_ends_the_loading_with_its_own_words(num_workers: int) -> None:
    with pytest.raises(InputError, match=r"^shard-7.msg: damaged; remove it$"):
        list(load_crops(Damaged(4), SETTINGS, 1, batch_size=2, num_workers=num_workers))
