from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.errors import InputError
from geo_pipeline.model.scenes import UNKNOWN, pick_scene

SCENES = ["indoor", "natural", "urban"]
PROBABILITY = st.one_of(st.none(), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.floats(0, 1))


def photos(rows: list[list[float | None]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [[]] * 3
    return pa.table(
        {f"probability_{scene}": pa.array(c, pa.float64()) for scene, c in zip(SCENES, columns, strict=True)}
    )


@settings(deadline=None)
@given(st.lists(st.lists(PROBABILITY, min_size=3, max_size=3), max_size=8))
def test_the_most_probable_scene_is_picked_and_the_first_of_equals(rows: list[list[float | None]]) -> None:
    for row, picked in zip(rows, pick_scene(photos(rows), SCENES), strict=True):
        known = [(-value, place) for place, value in enumerate(row) if value is not None]
        assert picked == (min(known)[1] if known else UNKNOWN)


def test_the_order_of_scenes_is_that_of_the_request() -> None:
    table = photos([[0.1, 0.2, 0.7]])
    assert [int(pick_scene(table, order)[0]) for order in (SCENES, SCENES[::-1])] == [2, 0]


@pytest.mark.parametrize("scenes", [["water"], []])
def test_photos_without_the_columns_are_told_with_those_that_they_have(scenes: list[str]) -> None:
    with pytest.raises(InputError, match="they have probability_indoor, probability_natural"):
        pick_scene(photos([[0.1, 0.2, 0.7]]), scenes)
