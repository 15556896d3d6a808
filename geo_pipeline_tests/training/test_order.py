from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.errors import InputError
from geo_pipeline.training.order import EpochBatches, epoch_order, num_steps

sizes = st.tuples(st.integers(1, 300), st.integers(1, 40), st.integers(1, 5)).filter(lambda each: each[0] >= each[2])
"""Photos, photos of a process in a step, processes."""


def rows(batches: EpochBatches, epoch: int) -> list[np.ndarray]:
    batches.set_epoch(epoch)
    return [visit.rows for visit in batches]


def ranks(num_photos: int, batch_size: int, world_size: int, seed: int | None = 3, **start: int) -> list[EpochBatches]:
    return [
        EpochBatches(num_photos, batch_size, seed, rank=rank, world_size=world_size, **start)
        for rank in range(world_size)
    ]


def step_by_step(batches: list[EpochBatches], epoch: int) -> list[int]:
    """The rows of an epoch as all processes together see them: those of the first step, of the second, ..."""
    steps = zip(*(rows(each, epoch) for each in batches), strict=True)
    return [row for step in steps for part in step for row in part.tolist()]


@given(sizes, st.integers(0, 9), st.integers(0, 5))
def test_the_processes_together_visit_the_order_of_the_epoch(
    sizes: tuple[int, int, int], seed: int, epoch: int
) -> None:
    together = step_by_step(ranks(*sizes, seed=seed), epoch)
    assert together == epoch_order(sizes[0], seed, epoch).tolist()
    assert sorted(together) == list(range(sizes[0]))


@given(sizes)
def test_every_process_makes_the_same_number_of_steps_with_nearly_the_same_number_of_photos(
    sizes: tuple[int, int, int],
) -> None:
    num_photos, batch_size, world_size = sizes
    batches = ranks(*sizes)
    parts = np.array([[len(part) for part in rows(each, 0)] for each in batches])  # processes x steps
    assert parts.shape == (world_size, num_steps(*sizes)) == (world_size, len(batches[0]))
    assert (parts[:, :-1] == batch_size).all()
    assert np.ptp(parts[:, -1]) <= 1
    assert parts.max() <= batch_size + 2
    assert parts.min() >= min(2, batch_size, num_photos // world_size)


@given(sizes, st.integers(0, 100))
def test_a_resumed_epoch_goes_on_with_the_very_next_photo_and_later_ones_are_whole(
    sizes: tuple[int, int, int], done: int
) -> None:
    done = min(done, num_steps(*sizes))
    whole, resumed = ranks(*sizes), ranks(*sizes, first_epoch=2, first_batch=done)
    seen = [
        row for each in zip(*(rows(rank, 2)[:done] for rank in whole), strict=True) for part in each for row in part
    ]
    assert seen + step_by_step(resumed, 2) == step_by_step(whole, 2)
    assert step_by_step(resumed, 3) == step_by_step(whole, 3)
    assert len(resumed[0]) == len(whole[0])


@given(sizes)
def test_without_a_seed_photos_come_in_the_order_of_the_table(sizes: tuple[int, int, int]) -> None:
    assert step_by_step(ranks(*sizes, seed=None), 4) == list(range(sizes[0]))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    np.testing.assert_array_equal(epoch_order(500, 1, 2), epoch_order(500, 1, 2))
    orders = {tuple(epoch_order(500, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_visits_carry_the_epoch() -> None:
    batches = EpochBatches(10, 4, seed=0)
    batches.set_epoch(7)
    assert {visit.epoch for visit in batches} == {7}


def test_a_single_photo_at_the_end_joins_the_step_before_it() -> None:
    assert [len(part) for part in rows(EpochBatches(9, 4, seed=0), 0)] == [4, 5]
    assert [len(part) for part in rows(EpochBatches(10, 4, seed=0), 0)] == [4, 4, 2]


def test_more_processes_than_photos_are_refused() -> None:
    with pytest.raises(InputError, match="2 photos for 3 training processes"):
        EpochBatches(2, 8, seed=0, world_size=3)
