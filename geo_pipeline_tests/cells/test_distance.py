import math

import numpy as np
import pytest
from geopy.distance import great_circle
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geo_pipeline.cells.distance import great_circle_km

where = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@settings(deadline=None)
@given(where, where)
@example((0.0, 0.0), (0.0, 180.0))
@example((90.0, 12.0), (-90.0, 77.0))
@example((10.0, 179.999), (10.0, -179.999))
@example((48.85, 2.35), (48.850000001, 2.35))
def test_distances_agree_with_geopy_to_a_metre(a: tuple[float, float], b: tuple[float, float]) -> None:
    ours = great_circle_km(*(np.array([x]) for x in (*a, *b)))
    assert ours[0] == pytest.approx(great_circle(a, b, radius=6371.0).km, abs=1e-3)


def test_a_degree_along_a_meridian_is_the_same_everywhere_and_the_antipode_is_half_the_circumference() -> None:
    latitudes = np.array([0.0, 30.0, 60.0, 89.0])
    degree = great_circle_km(latitudes, np.zeros(4), latitudes + 1, np.zeros(4))
    assert degree.tolist() == [pytest.approx(6371 * math.pi / 180)] * 4
    assert great_circle_km(*(np.array([x]) for x in (37.0, 25.0, -37.0, -155.0)))[0] == pytest.approx(6371 * math.pi)


def test_a_millimetre_is_still_told_apart() -> None:
    millimetre = math.degrees(1e-6 / 6371)
    assert great_circle_km(*(np.array([x]) for x in (0.0, 0.0, millimetre, 0.0)))[0] == pytest.approx(1e-6, rel=1e-6)
    assert great_circle_km(*(np.array([x]) for x in (51.3, 7.7, 51.3, 7.7)))[0] == 0
