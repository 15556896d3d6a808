import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.cells.distance import great_circle_km
from geo_pipeline.evaluation.continents import continent_rings, continents_of
from geo_pipeline.evaluation.land import land_rings

PLACES = {
    "Africa": [(30.04, 31.24), (-33.92, 18.42), (-18.88, 47.51), (28.12, -15.43), (-20.16, 57.5), (14.93, -23.51)],
    "Asia": [(39.93, 32.86), (55.03, 82.92), (64.73, 177.5), (66, -172), (1.35, 103.82), (22.3, 114.17), (4.18, 73.51)],
    "Europe": [(48.86, 2.35), (55.75, 37.62), (64.15, -21.94), (37.74, -25.67), (35.9, 14.51), (78.2, 15.6)],
    "North America": [
        (40.71, -74.01),
        (21.31, -157.86),
        (8.98, -79.52),
        (18.47, -69.9),
        (64.18, -51.69),
        (32.3, -64.8),
    ],
    "Oceania": [(-33.87, 151.21), (-36.85, 174.76), (-17.54, -149.57), (-9.44, 147.18), (-18.14, 178.44)],
    "South America": [(-23.55, -46.63), (4.94, -52.33), (-54.8, -68.3), (-0.74, -90.31), (12.12, -68.93)],
    "Antarctica": [(-77.85, 166.67), (-90, 0), (-67.6, 62.9)],
}


@pytest.mark.parametrize("continent", PLACES)
def test_well_known_places_are_on_their_continents(continent: str) -> None:
    latitudes, longitudes = np.array(PLACES[continent], dtype=float).T
    assert continents_of(latitudes, longitudes) == [continent] * len(latitudes)


def test_the_land_of_the_maps_is_on_a_continent_and_continents_are_land() -> None:
    assert set(continent_rings()) == set(PLACES)
    coast = np.vstack([ring for rings in continent_rings().values() for ring in rings])
    land = np.vstack(list(land_rings()))
    nearest = [great_circle_km(lat, lng, coast[:, 1], coast[:, 0]).min() for lng, lat in land[::40]]
    assert np.quantile(nearest, 0.95) < 60


@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=20))
def test_a_place_has_one_continent_whatever_stands_beside_it(places: list[tuple[float, float]]) -> None:
    latitudes, longitudes = np.array(places).T
    together = continents_of(latitudes, longitudes)
    assert together == [continents_of(latitudes[k : k + 1], longitudes[k : k + 1])[0] for k in range(len(places))]


def rings_around(rings: tuple[np.ndarray, ...], lat: float, lng: float) -> int:
    """How many rings a place lies in, by counting the edges to its north."""
    num_rings = 0
    for ring in rings:
        edges = 0
        for (lng_a, lat_a), (lng_b, lat_b) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if (lng_a <= lng) != (lng_b <= lng):
                edges += lat < lat_a + (lat_b - lat_a) * (lng - lng_a) / (lng_b - lng_a)
        num_rings += edges % 2
    return num_rings


def test_a_place_is_on_the_continent_around_it_and_at_sea_on_the_nearest() -> None:
    rng = np.random.default_rng(0)
    latitudes, longitudes = np.degrees(np.arcsin(rng.uniform(-1, 1, 60))), rng.uniform(-180, 180, 60)
    for name, lat, lng in zip(continents_of(latitudes, longitudes), latitudes, longitudes, strict=True):
        around = [each for each, rings in continent_rings().items() if rings_around(rings, lat, lng) % 2]
        nearest_corners = {
            each: min(great_circle_km(lat, lng, ring[:, 1], ring[:, 0]).min() for ring in rings)
            for each, rings in continent_rings().items()
        }
        if around:
            assert around == [name]
        else:  # between two corners an outline may be nearer than they are
            assert nearest_corners[name] < min(nearest_corners.values()) + 300


def test_no_place_has_no_continent() -> None:
    assert continents_of(np.array([]), np.array([])) == []
