from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.cells.distance import great_circle_km
from geo_pipeline.errors import InputError
from geo_pipeline.planning.holdout import BORDER_KM, Share, close_pairs, hold_out
from geo_pipeline_tests.cells.oracle import s2_leaf
from geo_pipeline_tests.planning.made_up import places

BOTH = {Share.BENCHMARK: 100, Share.VALIDATION: 100}
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "mp16_coordinates_100K.csv"


def distances_km(some: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Every distance, by the formula that measures answers: float64[some, others]."""
    return great_circle_km(some[0][:, None], some[1][:, None], others[0][None, :], others[1][None, :])


@pytest.fixture(scope="module")
def divided() -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    where = places(2000)
    return where, hold_out(*where, np.ones(2000, dtype=bool), BOTH)


def test_no_benchmark_photo_is_near_one_of_another_set(
    divided: tuple[tuple[np.ndarray, np.ndarray], np.ndarray],
) -> None:
    (latitudes, longitudes), shares = divided
    benchmark, others = shares == Share.BENCHMARK, np.isin(shares, [Share.TRAIN, Share.VALIDATION])
    apart = distances_km((latitudes[benchmark], longitudes[benchmark]), (latitudes[others], longitudes[others]))
    assert apart.min() > BORDER_KM


def test_the_border_is_what_lies_near_a_benchmark_photo_and_nothing_else(
    divided: tuple[tuple[np.ndarray, np.ndarray], np.ndarray],
) -> None:
    (latitudes, longitudes), shares = divided
    benchmark, border = shares == Share.BENCHMARK, shares == Share.BORDER
    apart = distances_km((latitudes[border], longitudes[border]), (latitudes[benchmark], longitudes[benchmark]))
    assert border.any()
    assert apart.min(axis=1).max() <= BORDER_KM


def test_validation_and_training_share_no_cell(divided: tuple[tuple[np.ndarray, np.ndarray], np.ndarray]) -> None:
    where, shares = divided
    cells = np.array([s2_leaf(lat, lng).parent(7).id() for lat, lng in zip(*where, strict=True)])
    assert not set(cells[shares == Share.VALIDATION]) & set(cells[shares == Share.TRAIN])


def test_about_as_many_are_held_out_as_wanted(divided: tuple[tuple[np.ndarray, np.ndarray], np.ndarray]) -> None:
    _, shares = divided
    held_out = np.bincount(shares, minlength=len(Share))
    assert 100 <= held_out[Share.BENCHMARK] <= 115
    assert 80 <= held_out[Share.VALIDATION] <= 115
    assert held_out[Share.TRAIN] > 1500


def test_the_order_of_the_photos_changes_nothing(divided: tuple[tuple[np.ndarray, np.ndarray], np.ndarray]) -> None:
    (latitudes, longitudes), shares = divided
    order = np.random.default_rng(5).permutation(2000)
    again = hold_out(latitudes[order], longitudes[order], np.ones(2000, dtype=bool), BOTH)
    assert np.array_equal(again, shares[order])


def test_only_photos_that_can_be_had_are_counted() -> None:
    where = places(2000)
    counted = np.arange(2000) % 4 == 0
    shares = hold_out(*where, counted, {Share.VALIDATION: 50})
    assert 50 <= np.count_nonzero(counted & (shares == Share.VALIDATION)) <= 60
    assert set(shares) == {Share.TRAIN, Share.VALIDATION}


def test_photos_of_one_town_are_not_divided() -> None:
    random = np.random.default_rng(1)
    town = 48.1 + random.normal(0, 0.02, 500), 11.5 + random.normal(0, 0.02, 500)
    with pytest.raises(InputError, match=r"500 photos lie in \d S2 cells .*--validation-url-csv"):
        hold_out(*town, np.ones(500, dtype=bool), BOTH)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([25.0, 200.0, 2000.0]))
def test_close_pairs_are_those_that_every_distance_shows(seed: int, km: float) -> None:
    random = np.random.default_rng(seed)
    corner = random.uniform(-90, 90), random.uniform(-180, 180)
    few, many = (
        (
            np.clip(corner[0] + random.normal(0, km / 111, n), -90, 90),
            (corner[1] + random.normal(0, km / 111, n) + 180) % 360 - 180,
        )
        for n in (7, 40)
    )
    close = distances_km(few, many) <= km
    near_few, near_many = close_pairs(few, many, km)
    assert np.array_equal(near_few, close.any(axis=1))
    assert np.array_equal(near_many, close.any(axis=0))


def test_real_photo_places_lose_little_to_the_border() -> None:
    if not SHARED.exists():
        pytest.skip("the real data is not beside the repository: ../shared/data/mp16_coordinates_100K.csv is absent")
    where = np.loadtxt(SHARED, delimiter=",", skiprows=1)[:12_000].T
    shares = hold_out(*where, np.ones(12_000, dtype=bool), {Share.BENCHMARK: 600, Share.VALIDATION: 600})
    assert np.count_nonzero(shares == Share.BORDER) < 0.05 * 12_000
