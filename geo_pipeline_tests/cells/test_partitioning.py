import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.cells.partitioning import make_partitionings
from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.errors import InputError
from geo_pipeline_tests.cells.oracle import real_coordinates, split_photo_by_photo

Coordinates = list[tuple[float, float]]


def make(coordinates: Coordinates, **rule: int) -> pa.Table:
    latitudes, longitudes = np.array(coordinates, dtype=np.float64).reshape(-1, 2).T
    return make_partitionings(latitudes.copy(), longitudes.copy(), [PartitioningSettings(**rule)])[0]


def rows(cells: pa.Table) -> list[tuple[str, int, float, float]]:
    return list(zip(*(cells[name].to_pylist() for name in cells.column_names[1:]), strict=True))


def assert_same_cells(cells: pa.Table, expected: list[tuple[str, int, float, float]]) -> None:
    assert cells["class_label"].to_pylist() == list(range(len(expected)))
    assert [row[:2] for row in rows(cells)] == [row[:2] for row in expected]
    assert [row[2:] for row in rows(cells)] == [pytest.approx(row[2:], abs=1e-9) for row in expected]


# few places near each other, many photos at each: cells fill up at all levels
places = st.tuples(st.sampled_from([10.0, 10.001, 10.5, 40.0, -60.0]), st.sampled_from([20.0, 20.0004, 23.0, -70.0]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(places, min_size=1, max_size=120),
    st.integers(0, 6),
    st.integers(1, 20),
    st.integers(0, 5),
    st.integers(0, 24),
)
def test_cells_equal_moving_each_photo_down_level_by_level(
    coordinates: Coordinates, img_min: int, more: int, lvl_min: int, deeper: int
) -> None:
    rule = {"img_min": img_min, "img_max": img_min + more, "lvl_min": 1 + lvl_min, "lvl_max": 1 + lvl_min + deeper}
    expected = split_photo_by_photo(coordinates, **rule)
    if expected:
        assert_same_cells(make(coordinates, **rule), expected)
    else:
        with pytest.raises(InputError, match="no cell"):
            make(coordinates, **rule)


@pytest.mark.parametrize(("img_min", "img_max"), [(50, 1000), (10, 106), (0, 300)])
def test_cells_of_real_photos_equal_moving_each_photo_down_level_by_level(img_min: int, img_max: int) -> None:
    columns = real_coordinates("mp16_coordinates_100K.csv")
    coordinates = list(zip(*(column[:8000].tolist() for column in columns), strict=True))
    assert_same_cells(
        make(coordinates, img_min=img_min, img_max=img_max),
        split_photo_by_photo(coordinates, img_min=img_min, img_max=img_max),
    )


def test_the_row_order_changes_no_bit() -> None:
    rng = np.random.default_rng(1)
    # tiny differences that share a leaf: their sums depend on the order of addition unless it is fixed
    latitudes = 50 + rng.integers(0, 3, 4000) * 1e-3 + rng.integers(0, 50, 4000) * 1e-10
    longitudes = 8 + rng.integers(0, 3, 4000) * 1e-3 + rng.integers(0, 50, 4000) * 1e-10
    rule = [PartitioningSettings(img_min=5, img_max=m) for m in (800, 300)]
    tables = make_partitionings(latitudes, longitudes, rule)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(4000)
        assert make_partitionings(latitudes[order], longitudes[order], rule) == tables


def test_counts_stay_in_bounds_except_at_the_deepest_level() -> None:
    latitudes, longitudes = real_coordinates("mp16_coordinates_100K.csv")
    cells = make_partitionings(latitudes, longitudes, [PartitioningSettings(img_min=50, img_max=106)])[0]
    counts = cells["imgs_per_cell"].to_numpy()
    assert counts.min() > 50
    assert counts.max() <= 106
    assert len(counts) < 3302  # as many there are if cells with a single photo stay


def test_a_cell_is_split_only_above_img_max_and_kept_only_above_img_min() -> None:
    here, there = [(10.0, 20.0)], [(-40.0, 100.0)]
    assert rows(make(here * 5 + there * 3, img_min=2, img_max=5, lvl_max=9))[0][1:] == (5, 10.0, 20.0)
    whole = make(here * 5 + there * 3, img_min=2, img_max=5)["hex_id"].to_pylist()
    assert {len(token) for token in whole} == {2}  # both at level 2
    assert make(here * 5 + there * 3, img_min=3, img_max=5)["imgs_per_cell"].to_pylist() == [5]
    deep = make(here * 6, img_min=3, img_max=5)  # one point cannot be divided: it ends as a leaf that holds too many
    assert rows(deep)[0][1] == 6
    assert len(rows(deep)[0][0]) == 16


def test_a_mean_across_the_antimeridian_stays_there() -> None:
    coordinates = [(70.0, 180.0), (70.0, -179.99), (70.0, -179.97)]
    (row,) = rows(make(coordinates, img_min=1, img_max=10))
    assert row[1] == 3
    assert row[3] == pytest.approx(-179.98666666, abs=1e-6)


def test_means_on_the_sphere_are_used_from_level_0() -> None:
    around_the_pole = [(80.0, longitude) for longitude in (-180.0, -90.0, 0.0, 90.0)]
    (row,) = rows(make(around_the_pole, img_min=0, img_max=10, lvl_min=0))
    assert row[1] == 4
    assert row[2] == pytest.approx(90.0)
    across = [(10.0, 170.0), (10.0, -170.0)]
    (row,) = rows(make(across, img_min=0, img_max=10, lvl_min=0))
    assert abs(row[3]) == pytest.approx(180.0)


def test_no_photos_leave_no_cell() -> None:
    with pytest.raises(InputError, match="no cell holds more than img_min = 50"):
        make([], img_max=100)
