import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.cells import chunks
from geo_pipeline.cells.leaf import leaf_ids
from geo_pipeline.errors import InputError
from geo_pipeline_tests.cells.oracle import edge_coordinates, real_coordinates, s2_leaf

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)


def assert_equal_to_s2sphere(coordinates: list[tuple[float, float]]) -> None:
    ours = leaf_ids(*np.array(coordinates, dtype=np.float64).reshape(-1, 2).T)
    assert ours.dtype == np.uint64
    assert ours.tolist() == [s2_leaf(latitude, longitude).id() for latitude, longitude in coordinates]


@settings(deadline=None)
@given(st.lists(st.tuples(latitudes, longitudes), max_size=50))
def test_leaf_ids_equal_s2sphere_for_any_coordinates(coordinates: list[tuple[float, float]]) -> None:
    assert_equal_to_s2sphere(coordinates)


def test_leaf_ids_equal_s2sphere_at_poles_face_edges_the_antimeridian_and_one_ulp_beside() -> None:
    assert_equal_to_s2sphere(edge_coordinates())


def test_leaf_ids_equal_s2sphere_over_the_whole_sphere() -> None:
    rng = np.random.default_rng(5)
    z, theta = rng.uniform(-1, 1, 3000), rng.uniform(-180, 180, 3000)
    assert_equal_to_s2sphere(list(zip(np.degrees(np.arcsin(z)).tolist(), theta.tolist(), strict=True)))


def test_leaf_ids_equal_s2sphere_on_the_corners_of_cells_of_every_level() -> None:
    corners = []
    for level in range(1, 30):
        for k in range(4):
            vertex = s2_leaf(*[(48.8, 2.3), (-33.9, 151.2), (71.0, -8.0), (-89.0, 100.0)][k]).parent(level).to_lat_lng()
            latitude, longitude = vertex.lat().degrees, vertex.lng().degrees
            beside = [np.nextafter(longitude, away) for away in (-181, 181)]
            corners += [(latitude, longitude), *((latitude, float(each)) for each in beside)]
    assert_equal_to_s2sphere(corners)


@pytest.mark.parametrize("towards", [-2.0, 2.0])
def test_leaf_ids_equal_s2sphere_where_numpy_rounds_sines_otherwise(
    monkeypatch: pytest.MonkeyPatch, towards: float
) -> None:
    exact = {name: getattr(np, name) for name in ("sin", "cos")}
    for name, function in exact.items():
        monkeypatch.setattr(np, name, lambda x, function=function: np.nextafter(function(x), towards))
    rng = np.random.default_rng(7)
    anywhere = zip(rng.uniform(-90, 90, 2000).tolist(), rng.uniform(-180, 180, 2000).tolist(), strict=True)
    assert_equal_to_s2sphere([*edge_coordinates(), *anywhere])


def test_leaf_ids_equal_s2sphere_on_real_photo_places() -> None:
    where = real_coordinates("mp16_coordinates_100K.csv")
    assert_equal_to_s2sphere(list(zip(*(column[:5000].tolist() for column in where), strict=True)))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_leaf_id_does_not_depend_on_the_photos_around_it(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(chunks, "num_threads", lambda: threads)
    rng = np.random.default_rng(6)
    many = rng.uniform(-90, 90, 70_000), rng.uniform(-180, 180, 70_000)
    some = np.array([0, 1, 8_191, 8_192, 65_535, 65_536, 69_999])
    assert np.array_equal(leaf_ids(*many)[some], leaf_ids(many[0][some], many[1][some]))


@pytest.mark.parametrize(
    ("latitude", "longitude", "named"),
    [(90.5, 0.0, "latitude 90.5"), (0.0, -180.1, "longitude -180.1"), (float("nan"), 0.0, "latitude nan")],
)
def test_values_that_are_no_coordinates_are_refused_with_their_row(
    latitude: float, longitude: float, named: str
) -> None:
    with pytest.raises(InputError, match=f"row 2 .*{named}"):
        leaf_ids(np.array([0.0, 1.0, latitude]), np.array([0.0, 1.0, longitude]))
