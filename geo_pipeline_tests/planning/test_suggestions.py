from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.cells.partitioning import make_partitionings
from geo_pipeline.planning.suggestions import (
    MOST_REJECTED_PERCENT,
    suggest_buckets,
    suggest_partitionings,
    suggest_tolerance,
    suggest_training_config,
)
from geo_pipeline_tests.planning.made_up import places


@pytest.mark.parametrize("number", [3, 60, 800, 20_000])
def test_suggested_partitionings_make_the_cells_that_are_promised(number: int) -> None:
    where = places(number)
    suggested = suggest_partitionings(*where)
    assert list(suggested) == ["coarse", "middle", "fine"]
    made = make_partitionings(*where, [each.settings for each in suggested.values()])
    for cells, each in zip(made, suggested.values(), strict=True):
        assert cells.num_rows == each.num_cells > 0
        inside = sum(cells["imgs_per_cell"].to_pylist())
        assert each.percent_without_class == pytest.approx(100 * (number - inside) / number)


@pytest.mark.parametrize("number", [60, 2500, 20_000])
def test_finer_partitionings_have_more_cells_and_fit_into_the_coarser(number: int) -> None:
    suggested = list(suggest_partitionings(*places(number)).values())
    for coarser, finer in pairwise(suggested):
        assert finer.num_cells >= coarser.num_cells
        assert finer.settings.img_max <= coarser.settings.img_max
        assert finer.settings.img_min >= coarser.settings.img_min


def test_millions_of_photos_get_the_papers_partitionings() -> None:
    latitudes, longitudes = (np.tile(each, 25) for each in places(100_000))
    random = np.random.default_rng(2)
    spread = np.clip(latitudes + random.normal(0, 0.2, len(latitudes)), -90, 90)
    fine = suggest_partitionings(spread, longitudes)["fine"]
    assert (fine.settings.img_min, fine.settings.img_max) == (50, 1000)


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 9_000_000), min_size=1, max_size=40))
def test_buckets_are_never_too_many_and_none_is_missing(numbers: dict[str, int]) -> None:
    buckets = suggest_buckets(numbers, 99)
    assert sum(buckets.values()) <= 99
    assert min(buckets.values()) >= 1


def test_buckets_hold_about_sixty_thousand_photos() -> None:
    assert suggest_buckets({"a": 4_723_695, "b": 25_600, "c": 237}, 99) == {"a": 79, "b": 1, "c": 1}


@given(st.floats(0, 100))
def test_the_tolerance_covers_what_was_seen(seen: float) -> None:
    assert min(seen, MOST_REJECTED_PERCENT) <= suggest_tolerance(seen) + 1e-9


@pytest.mark.parametrize(("seen", "suggested"), [(0, 0), (0.00001, 0.01), (0.31, 0.4), (1.0, 1), (2.1, 3), (40, 5)])
def test_the_tolerance_is_a_round_number(seen: float, suggested: float) -> None:
    assert suggest_tolerance(seen) == pytest.approx(suggested)


def test_many_photos_are_worth_the_papers_training() -> None:
    assert suggest_training_config(4_000_000) == "baseM.yml"
    assert suggest_training_config(5000) == "world.yml"
