from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.training.philox import philox_4x32, uniform_numbers

PUBLISHED = {  # kat_vectors of Random123 1.14 (Salmon et al.): counter, key, result
    "zeros": ("00000000 " * 4, "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    "ones": ("ffffffff " * 4, "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    "pi": ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
}


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_vectors_come_out(name: str) -> None:
    counter, key, expected = (words(text) for text in PUBLISHED[name])
    first, second = key
    result = philox_4x32(tuple(np.uint64(word) for word in counter), (first, second))  # type: ignore[arg-type]
    assert result.tolist() == expected


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_a_rows_numbers_depend_on_nothing_but_seed_epoch_and_row(seed: int, epoch: int, rows: list[int]) -> None:
    together = uniform_numbers(seed, epoch, np.array(rows, dtype=np.int64), 23)
    assert together.shape == (23, len(rows))
    for row, numbers in zip(rows, together.T, strict=True):
        np.testing.assert_array_equal(uniform_numbers(seed, epoch, np.array([row]), 23)[:, 0], numbers)


def test_numbers_are_spread_evenly_and_differ_by_seed_epoch_row_and_place() -> None:
    rows = np.arange(1000)
    numbers = np.stack([uniform_numbers(seed, epoch, rows, 23) for seed in (0, 1, 2**40) for epoch in (0, 1)])
    assert len(np.unique(numbers)) > 0.999 * numbers.size
    assert 0 <= numbers.min() < numbers.max() < 1
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    expected = numbers.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # chi squared with 19 degrees of freedom, 0.1 %
    flat = numbers.transpose(1, 0, 2).reshape(23, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(23)).max() < 5 / np.sqrt(flat.shape[1])
