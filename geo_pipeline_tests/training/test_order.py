from __future__ import annotations

import numpy as np
import pytest

from geo_pipeline.training.order import EpochBatches, epoch_order


def rows(batches: EpochBatches, epoch: int) -> list[int]:
    batches.set_epoch(epoch)
    return [key.row for batch in batches for key in batch]


@pytest.mark.parametrize("num_photos", [1, 7, 64, 1000])
@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_every_photo_comes_once_an_epoch(num_photos: int, batch_size: int) -> None:
    batches = EpochBatches(num_photos, batch_size, seed=3)
    for epoch in (0, 1, 5):
        assert sorted(rows(batches, epoch)) == list(range(num_photos))
        assert len(list(batches)) == len(batches)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    np.testing.assert_array_equal(epoch_order(500, 1, 2), epoch_order(500, 1, 2))
    orders = {tuple(epoch_order(500, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_a_resumed_epoch_goes_on_with_the_very_next_photo_and_later_ones_are_whole() -> None:
    whole = EpochBatches(100, 8, seed=5)
    resumed = EpochBatches(100, 8, seed=5, first_epoch=2, first_batch=4)
    assert rows(resumed, 2) == rows(whole, 2)[32:]
    assert rows(resumed, 3) == rows(whole, 3)
    assert len(resumed) == len(whole)


def test_the_keys_of_photos_carry_the_epoch() -> None:
    batches = EpochBatches(10, 4, seed=0)
    batches.set_epoch(7)
    assert {key.epoch for batch in batches for key in batch} == {7}
