from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from geopy.distance import geodesic

from geo_pipeline.errors import InputError
from geo_pipeline.world.photo_sets import PHOTO_SETS, PhotoSet
from geo_pipeline.world.places import (
    APART_KM,
    choose_places,
    distance_to_nearest_km,
    read_coordinates,
    read_places,
    write_places,
)
from geo_pipeline_tests.world.conftest import WORLD, Row

MP16_SAMPLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "mp16_coordinates_100K.csv"
SMALL = (PhotoSet("benchmark", 30, benchmark=True), PhotoSet("train", 200))

Coordinates = npt.NDArray[np.float64]


def haversine_km(ones: Coordinates, others: Coordinates) -> npt.NDArray[np.float64]:
    latitudes, longitudes = np.radians(ones[:, None] - others[None]).transpose(2, 0, 1)
    cosines = np.cos(np.radians(ones[:, None, 0])) * np.cos(np.radians(others[None, :, 0]))
    return 2 * 6371 * np.arcsin(np.sqrt(np.sin(latitudes / 2) ** 2 + cosines * np.sin(longitudes / 2) ** 2))


def random_places(number: int, seed: int = 0) -> Coordinates:
    return np.random.default_rng(seed).uniform((40, 0), (50, 10), size=(number, 2))


def committed(metadata: Callable[[str], list[Row]], *photo_sets: str) -> Coordinates:
    return np.array([(float(row["LAT"]), float(row["LON"])) for name in photo_sets for row in metadata(name)])


def test_no_committed_benchmark_place_is_within_25_km_of_training_or_validation(
    metadata: Callable[[str], list[Row]],
) -> None:
    benchmarks = committed(metadata, "world_1k", "world_300")
    others = committed(metadata, "world_train", "world_validation")
    nearest_km, nearest_pair = np.inf, None
    for block in np.array_split(others, 30):
        distances = haversine_km(block, benchmarks)
        if distances.min() < nearest_km:
            one, other = np.unravel_index(distances.argmin(), distances.shape)
            nearest_km, nearest_pair = distances.min(), (tuple(block[one]), tuple(benchmarks[other]))
    assert nearest_km > 25.0
    assert nearest_pair is not None
    assert geodesic(*nearest_pair).km > 25.0


def test_all_committed_places_are_different(metadata: Callable[[str], list[Row]]) -> None:
    places = committed(metadata, *(photo_set.name for photo_set in PHOTO_SETS))
    assert len(places) == sum(photo_set.num_photos for photo_set in PHOTO_SETS)
    assert len(np.unique(places, axis=0)) == len(places)


@pytest.mark.skipif(not MP16_SAMPLE.exists(), reason="the MP-16 coordinates are not beside this repository")
@pytest.mark.slow
def test_the_committed_sample_is_what_the_choice_gives() -> None:
    coordinates = read_coordinates(MP16_SAMPLE)
    places = choose_places(np.random.default_rng(1).permutation(coordinates))
    for name, points in read_places(WORLD / "places.csv").items():
        np.testing.assert_array_equal(points, places[name])


def test_training_places_keep_away_from_benchmark_places() -> None:
    chosen = choose_places(random_places(4000), SMALL)
    assert {name: len(points) for name, points in chosen.items()} == {"benchmark": 30, "train": 200}
    assert haversine_km(chosen["train"], chosen["benchmark"]).min() > APART_KM


def test_the_choice_depends_neither_on_order_nor_on_repetitions() -> None:
    places = random_places(4000)
    shuffled = np.random.default_rng(1).permutation(np.concatenate([places, places[:100]]))
    for name, points in choose_places(places, SMALL).items():
        np.testing.assert_array_equal(points, choose_places(shuffled, SMALL)[name])


def test_too_few_places_are_an_error_that_names_the_photo_set() -> None:
    with pytest.raises(InputError, match="train: 0 places are left, 200 are needed"):
        choose_places(random_places(30), SMALL)


def test_the_distance_to_the_nearest_place_is_the_smallest_haversine() -> None:
    random = np.random.default_rng(2)
    ones, others = (np.degrees(np.arcsin(random.uniform(-1, 1, (n, 2)))) * (1, 2) for n in (2500, 70))
    expected = haversine_km(ones, others).min(axis=1)
    np.testing.assert_allclose(distance_to_nearest_km(ones, others), expected, atol=1e-3)


def test_a_place_is_no_distance_from_itself() -> None:
    places = random_places(10)
    np.testing.assert_allclose(distance_to_nearest_km(places, places), 0, atol=1e-3)


def test_chosen_places_are_read_as_they_were_written(tmp_path: Path) -> None:
    places = choose_places(random_places(4000), SMALL)
    write_places(tmp_path / "places.csv", places)
    for name, points in read_places(tmp_path / "places.csv").items():
        np.testing.assert_array_equal(points, places[name])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("LAT,LON\n1,2\n91,0\n", "line 3.*'91'"),
        ("LAT,LON\n1,nan\n", "line 2.*'nan'"),
        ("LAT,LON\n1\n", "line 2.*None"),
        ("LATITUDE,LON\n1,2\n", "columns.*LATITUDE.*expected"),
        ("", "columns None found"),
    ],
)
def test_a_damaged_table_of_coordinates_names_the_row(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "coordinates.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_coordinates(path)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        read_coordinates(tmp_path / "nowhere.csv")
