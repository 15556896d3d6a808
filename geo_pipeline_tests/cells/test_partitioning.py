import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from s2sphere import CellId

from geo_pipeline.cells import chunks, partitioning
from geo_pipeline.cells.assignment import assign_classes
from geo_pipeline.cells.partitioning import make_partitionings, partition_photos
from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.errors import InputError
from geo_pipeline_tests.cells.oracle import photos_of_cells, real_coordinates, s2_leaf, split_photo_by_photo

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


@pytest.mark.slow
def test_cells_counts_and_labels_of_all_real_photos_equal_s2sphere_photo_by_photo() -> None:
    where = real_coordinates("mp16_coordinates_100K.csv")
    leaves = [s2_leaf(*each) for each in zip(*(column.tolist() for column in where), strict=True)]
    bounds = [(50, 5000), (50, 1000), (10, 106), (0, 300), (0, 1), (3, 20)]
    made = partition_photos(*where, [PartitioningSettings(img_min=low, img_max=high) for low, high in bounds])
    for (low, high), cells, labels in zip(bounds, made.cells, made.class_labels, strict=True):
        expected = photos_of_cells(leaves, img_min=low, img_max=high)
        assert cells["hex_id"].to_pylist() == [cell.to_token() for cell in sorted(expected)]
        assert cells["imgs_per_cell"].to_pylist() == [len(expected[cell]) for cell in sorted(expected)]
        classes = np.full(len(leaves), -1)
        for label, cell in enumerate(sorted(expected)):
            classes[expected[cell]] = label
        assert np.array_equal(labels, classes)


def crowded_photos(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Photos of which many share a leaf, and some lie on the antimeridian with either sign."""
    rng = np.random.default_rng(1)
    latitudes = 50 + rng.integers(0, 3, count) * 1e-3 + rng.integers(0, 50, count) * 1e-10
    longitudes = 8 + rng.integers(0, 3, count) * 1e-3 + rng.integers(0, 50, count) * 1e-10
    latitudes[::5], longitudes[::5] = 75 + rng.random(count)[::5], np.copysign(180 - rng.random(count) / 9, 1)[::5]
    longitudes[::10] = rng.choice([180.0, -180.0], len(longitudes[::10]))
    return latitudes, longitudes


@pytest.mark.parametrize("lvl_min", [0, 2])
def test_neither_the_row_order_nor_the_number_of_threads_changes_a_bit(
    monkeypatch: pytest.MonkeyPatch, lvl_min: int
) -> None:
    latitudes, longitudes = crowded_photos(4000)
    rule = [PartitioningSettings(img_min=5, img_max=m, lvl_min=lvl_min) for m in (800, 300)]
    monkeypatch.setattr(partitioning, "_SUMMED_ROWS", 300)
    expected = partition_photos(latitudes, longitudes, rule)
    for seed in range(6):
        monkeypatch.setattr(chunks, "num_threads", lambda seed=seed: 1 + seed % 3)
        order = np.random.default_rng(seed).permutation(4000)
        found = partition_photos(latitudes[order], longitudes[order], rule)
        for ours, theirs in zip(found.cells, expected.cells, strict=True):
            assert csv_of(ours) == csv_of(theirs)
        for ours, theirs in zip(found.class_labels, expected.class_labels, strict=True):
            assert np.array_equal(ours, theirs[order])


def csv_of(cells: pa.Table) -> list[str]:
    """The rows as they are written, to the last digit of each number."""
    return [repr(row) for row in cells.to_pylist()]


def test_labels_come_with_the_cells_and_are_those_of_assignment() -> None:
    where = crowded_photos(3000)
    rules = [PartitioningSettings(img_min=10, img_max=m) for m in (500, 100)]
    made = partition_photos(*where, rules)
    assert list(made.cells) == make_partitionings(*where, rules)
    for labels, cells in zip(made.class_labels, made.cells, strict=True):
        assert labels.dtype == np.int32
        assert np.array_equal(labels, assign_classes(*where, cells))
        assert np.bincount(labels[labels >= 0]).tolist() == cells["imgs_per_cell"].to_pylist()


def test_partitionings_made_together_equal_those_made_alone() -> None:
    where = crowded_photos(3000)
    rules = [PartitioningSettings(img_min=10, img_max=500), PartitioningSettings(img_min=2, img_max=40, lvl_min=0)]
    together = make_partitionings(*where, rules)
    assert [make_partitionings(*where, [rule])[0]["hex_id"] for rule in rules] == [each["hex_id"] for each in together]


def test_means_are_the_true_means_rounded() -> None:
    latitudes, longitudes = (column[:20_000] for column in real_coordinates("mp16_coordinates_100K.csv"))
    made = partition_photos(latitudes, longitudes, [PartitioningSettings(img_min=20, img_max=400)])
    (labels,), (cells,) = made.class_labels, made.cells
    for label, latitude, longitude in zip(
        *(cells[name].to_pylist() for name in ("class_label", "latitude_mean", "longitude_mean")), strict=True
    ):
        for values, mean in ((latitudes, latitude), (longitudes, longitude)):
            own = values[labels == label].tolist()
            assert mean == pytest.approx(math.fsum(own) / len(own), rel=5e-16, abs=0)


def test_counts_stay_in_bounds_except_at_the_deepest_level() -> None:
    latitudes, longitudes = real_coordinates("mp16_coordinates_100K.csv")
    cells = make_partitionings(latitudes, longitudes, [PartitioningSettings(img_min=50, img_max=106)])[0]
    counts = cells["imgs_per_cell"].to_numpy()
    assert counts.min() > 50
    assert counts.max() <= 106
    assert len(counts) == 747
    with_single_photos = make_partitionings(latitudes, longitudes, [PartitioningSettings(img_min=0, img_max=106)])[0]
    assert with_single_photos.num_rows == 3302


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


@pytest.mark.parametrize("longitude", [-180.0, 180.0])
def test_a_photo_on_the_antimeridian_counts_on_the_side_of_its_cell(longitude: float) -> None:
    for beside in (179.9, -179.9):
        coordinates = [(70.0, longitude), (70.0, beside), (70.0, beside)]
        cells = rows(make(coordinates, img_min=1, img_max=10))
        for token, count, _, mean in cells:
            inside = [where for where in coordinates if CellId.from_token(token).contains(s2_leaf(*where))]
            assert len(inside) == count
            near = [o if abs(o - beside) < 180 else o + math.copysign(360, beside) for _, o in inside]
            assert mean == pytest.approx(sum(near) / count)


def test_photos_at_a_pole_leave_the_mean_within_the_globe() -> None:
    at_the_pole = [(90.0, float(longitude)) for longitude in range(-180, 181, 30)]
    for lvl_min in (0, 1, 2):
        for _, _, latitude, longitude in rows(make(at_the_pole, img_min=0, img_max=100, lvl_min=lvl_min)):
            assert latitude == pytest.approx(90)
            assert -180 <= longitude <= 180


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
