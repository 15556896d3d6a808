import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.cells.distance import great_circle_km
from geo_pipeline.evaluation.surroundings import most_probable_scenes, names_by_number, num_near, surroundings
from geo_pipeline_tests.evaluation.made_up import places

COORDINATES = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=30)


@given(COORDINATES, COORDINATES, st.floats(1, 25_000))
def test_the_photos_near_are_those_within_the_distance(
    places: list[tuple[float, float]], others: list[tuple[float, float]], radius_km: float
) -> None:
    (lat, lng), (others_lat, others_lng) = np.array(places).T, np.array(others).T
    distances = great_circle_km(lat[:, None], lng[:, None], others_lat[None], others_lng[None])
    surely, perhaps = (distances <= radius_km - 1e-3).sum(axis=1), (distances <= radius_km + 1e-3).sum(axis=1)
    found = num_near(lat, lng, others_lat, others_lng, radius_km)
    assert ((surely <= found) & (found <= perhaps)).all()


def test_near_goes_over_poles_and_the_antimeridian() -> None:
    near = num_near(np.array([90.0, 0.0]), np.array([10.0, 180.0]), np.array([89.0, 0.0]), np.array([-120.0, -179.0]))
    assert near.tolist() == [1, 1]


def test_many_thousands_are_counted_as_by_hand() -> None:
    lat, lng = places(40, 1)
    others_lat, others_lng = places(20_000, 2)
    expected = [(great_circle_km(a, b, others_lat, others_lng) <= 200).sum() for a, b in zip(lat, lng, strict=True)]
    assert num_near(lat, lng, others_lat, others_lng).tolist() == expected


def test_nothing_is_near_where_there_is_nothing() -> None:
    assert num_near(np.array([1.0]), np.array([2.0]), np.array([]), np.array([])).tolist() == [0]


def test_the_most_probable_scene_counts_and_a_missing_probability_does_not() -> None:
    photos = pa.table(
        {
            "photo_id": list("abcd"),
            "probability_indoor": pa.array([0.1, None, 0.5, None], pa.float64()),
            "probability_urban": pa.array([0.9, 0.2, 0.5, None], pa.float64()),
        }
    )
    assert most_probable_scenes(photos) == ["urban", "urban", "indoor", None]
    assert most_probable_scenes(photos.select(["photo_id"])) == [None] * 4


def test_a_row_for_each_photo_says_what_is_known_of_it() -> None:
    photos = pa.table({"photo_id": ["p", "q"], "latitude": [48.9, -33.9], "longitude": [2.3, 151.2]})
    training = pa.table({"latitude": [49.0, 48.0, 10.0], "longitude": [2.0, 2.0, 2.0]})
    assert surroundings("b", photos, training).to_pylist() == [
        {"benchmark": "b", "photo_id": "p", "continent": "Europe", "scene": None, "num_training_near": 2},
        {"benchmark": "b", "photo_id": "q", "continent": "Oceania", "scene": None, "num_training_near": 0},
    ]


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "none"), (1, "1 to 9"), (9, "1 to 9"), (10, "10 to 99"), (999, "100 to 999"), (12_345, "10,000 to 99,999")],
)
def test_numbers_are_grouped_by_powers_of_ten(number: int, name: str) -> None:
    assert names_by_number([number]) == [name]
