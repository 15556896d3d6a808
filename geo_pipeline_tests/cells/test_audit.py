"""Each rule finds nothing in what this code makes, and just the damage in a table that was spoilt in one way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from s2sphere import CellId

from geo_pipeline.cells import audit
from geo_pipeline.cells.assignment import assign_classes
from geo_pipeline.cells.hierarchy import cell_hierarchy
from geo_pipeline.cells.partitioning import make_partitionings
from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline_tests.cells.oracle import PUBLISHED, real_data
from geo_pipeline_tests.cells.test_assignment import table

RULES = {
    "coarse": PartitioningSettings(img_min=5, img_max=900),
    "middle": PartitioningSettings(img_min=5, img_max=200),
    "fine": PartitioningSettings(img_min=5, img_max=40),
}


@pytest.fixture(scope="module")
def places() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.normal(40, 9, 4000), rng.normal(10, 40, 4000)


@pytest.fixture(scope="module")
def cells(places: tuple[np.ndarray, np.ndarray]) -> dict[str, pa.Table]:
    return dict(zip(RULES, make_partitionings(*places, list(RULES.values())), strict=True))


@pytest.fixture
def photos(places: tuple[np.ndarray, np.ndarray]) -> pa.Table:
    ids = [f"photo-{k}" for k in range(len(places[0]))]
    columns = {"photo_set": ["a"] * len(ids), "photo_id": ids, "latitude": places[0], "longitude": places[1]}
    return pa.table(columns)


@pytest.fixture
def classes(photos: pa.Table, places: tuple[np.ndarray, np.ndarray], cells: dict[str, pa.Table]) -> pa.Table:
    labels = {name: assign_classes(*places, each) for name, each in cells.items()}
    masked = {name: pa.array(each, pa.int32(), mask=each < 0) for name, each in labels.items()}
    return pa.table({"photo_set": photos["photo_set"], "photo_id": photos["photo_id"], **masked})


def spoilt(whole: pa.Table, column: str, row: int, value: object) -> pa.Table:
    """The table with another value in one place."""
    values = whole[column].to_pylist()
    values[row] = value
    return whole.set_column(whole.column_names.index(column), column, pa.array(values, whole.schema.field(column).type))


def test_partitionings_that_were_made_here_break_no_rule(
    cells: dict[str, pa.Table], places: tuple[np.ndarray, np.ndarray]
) -> None:
    for name, each in cells.items():
        assert audit.overlapping_cells(each) == []
        assert audit.gaps_in_labels(each) == []
        assert audit.labels_out_of_order(each) == []
        assert audit.cells_out_of_bounds(each, RULES[name]) == []
        assert audit.counts_that_differ(each, *places) == []
    assert audit.gaps_in_hierarchy(cell_hierarchy(cells), cells) == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_partitionings_are_disjoint_and_densely_labelled(name: str) -> None:
    published = read_cells_csv(real_data(f"{name}.csv"))
    assert audit.overlapping_cells(published) == []
    assert audit.gaps_in_labels(published) == []


def test_the_hierarchy_of_the_published_partitionings_is_total() -> None:
    published = {name: read_cells_csv(real_data(f"{name}.csv")) for name in PUBLISHED}
    assert audit.gaps_in_hierarchy(cell_hierarchy(published), published) == []


@pytest.mark.parametrize(
    ("tokens", "problems"),
    [
        (("47c4", "0c", "47c"), ["cell 47c4 lies in cell 47c"]),
        (("47c", "0c", "47cc", "47c4"), ["cell 47c4 lies in cell 47c", "cell 47cc lies in cell 47c"]),
        (("89c", "0c", "89c"), ["cell 89c stands twice"]),
        (("47", "47c", "49"), ["cell 47c lies in cell 47"]),
        (("44", "4c", "54"), []),
    ],
)
def test_cells_inside_others_are_named_with_their_holder(tokens: tuple[str, ...], problems: list[str]) -> None:
    assert audit.overlapping_cells(table(*tokens)) == problems


def test_a_first_leaf_in_a_cell_lies_in_it_and_one_beside_it_does_not() -> None:
    cell = CellId.from_token("47c4")
    for leaf in (cell.range_min(), cell.range_max()):
        assert audit.overlapping_cells(table("47c4", leaf.to_token())) == [f"cell {leaf.to_token()} lies in cell 47c4"]
    beside = [CellId(cell.range_min().id() - 2), CellId(cell.range_max().id() + 2)]
    assert audit.overlapping_cells(table("47c4", *(leaf.to_token() for leaf in beside))) == []


@pytest.mark.parametrize(
    ("labels", "problems"),
    [
        ([2, 0, 1], []),
        ([0, 1, 1], ["class label 1 stands 2 times: at cells 0c, 89c", "no cell has the class label 2"]),
        ([0, 3, 1], ["class label 3 of cell 0c is not among 0 to 2", "no cell has the class label 2"]),
        ([-1, 0, 1], ["class label -1 of cell 47c is not among 0 to 2", "no cell has the class label 2"]),
    ],
)
def test_labels_that_are_not_dense_are_named_with_their_cells(labels: list[int], problems: list[str]) -> None:
    assert audit.gaps_in_labels(table("47c", "0c", "89c", labels=labels)) == problems


def test_labels_out_of_order_are_named_whatever_the_order_of_rows() -> None:
    assert audit.labels_out_of_order(table("89c", "0c", "47c", labels=[2, 0, 1])) == []
    (problem,) = audit.labels_out_of_order(table("89c", "0c", "47c", labels=[1, 0, 2]))
    assert problem == "cell 47c has the class label 2, above the 1 of cell 89c, whose id is greater"


@pytest.mark.parametrize(
    ("photos", "settings", "problem"),
    [
        (5, {}, "holds 5 photos, not more than img_min 5"),
        (41, {}, "cell 47c4 of level 5 holds 41 photos, more than img_max 40"),
        (6, {"lvl_max": 4}, "cell 47c4 is of level 5, not 2 to 4"),
        (6, {"lvl_min": 7}, "cell 47c4 is of level 5, not 7 to 30"),
        (6, {}, None),
        (40, {}, None),
        (41, {"lvl_max": 5}, None),
    ],
)
def test_a_cell_out_of_bounds_is_named(photos: int, settings: dict[str, int], problem: str | None) -> None:
    cells = spoilt(table("47c4"), "imgs_per_cell", 0, photos)
    found = audit.cells_out_of_bounds(cells, PartitioningSettings(img_min=5, img_max=40, **settings))
    assert len(found) == (problem is not None)
    assert problem is None or problem in found[0]


def test_a_count_that_is_not_that_of_the_photos_is_named_with_both(
    cells: dict[str, pa.Table], places: tuple[np.ndarray, np.ndarray]
) -> None:
    count = cells["fine"]["imgs_per_cell"][3].as_py()
    (problem,) = audit.counts_that_differ(spoilt(cells["fine"], "imgs_per_cell", 3, count + 1), *places)
    token = cells["fine"]["hex_id"][3].as_py()
    assert problem.startswith(f"cell {token} (class label 3) holds {count + 1} photos by the table, {count} by")


def test_photos_that_have_gone_are_missed_in_their_cells(
    cells: dict[str, pa.Table], places: tuple[np.ndarray, np.ndarray]
) -> None:
    cell = CellId.from_token(cells["fine"]["hex_id"][0].as_py())
    outside = assign_classes(*places, table(cell.to_token())) < 0
    (problem,) = audit.counts_that_differ(cells["fine"], places[0][outside], places[1][outside])
    assert f"cell {cell.to_token()} (class label 0)" in problem
    assert f" 0 by assigning the {outside.sum()} " in problem


def test_photos_in_overlapping_cells_cannot_be_counted() -> None:
    where = np.array([0.0]), np.array([0.0])
    (problem,) = audit.counts_that_differ(table("47c", "47c4"), *where)
    assert "cells 47c and 47c4 overlap" in problem


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("fine", 1, ["class label 0 of fine stands 0 times", "class label 1 of fine stands 2 times"]),
        ("fine", 9, ["class label 0 of fine stands 0 times", "class label 9 of fine stands 1 times"]),
        ("coarse", 1, ["fine cell 47c4 (class label 0) does not lie in 89c, the coarse cell of class label 1"]),
        ("coarse", 7, ["fine cell 47c4 (class label 0) has the coarse class label 7, which no cell has"]),
        ("coarse", None, ["fine cell 47c4 (class label 0) has the coarse class label None, which no cell has"]),
    ],
)
def test_a_spoilt_hierarchy_is_described(column: str, value: int | None, expected: list[str]) -> None:
    cells = {"coarse": table("47c", "89c"), "fine": table("47c4", "47cc", "89c")}
    hierarchy = cell_hierarchy(cells)
    assert audit.gaps_in_hierarchy(hierarchy, cells) == []
    found = audit.gaps_in_hierarchy(spoilt(hierarchy, column, 0, value), cells)
    assert all(any(problem.startswith(text) for problem in found) for text in expected), found


def test_a_cell_without_a_row_in_the_hierarchy_is_missed(cells: dict[str, pa.Table]) -> None:
    (problem,) = audit.gaps_in_hierarchy(cell_hierarchy(cells).slice(1), cells)
    assert problem == "class label 0 of fine stands 0 times, expected 1"


def test_labels_of_photos_are_those_that_s2sphere_finds(
    classes: pa.Table, photos: pa.Table, cells: dict[str, pa.Table]
) -> None:
    assert audit.wrong_labels(classes, photos, cells, np.arange(photos.num_rows)) == []
    assert classes["fine"].null_count > 0


@pytest.mark.parametrize("name", list(RULES))
@pytest.mark.parametrize("spoil", [lambda label: label + 1, {}.get])
def test_another_label_is_found_where_it_is_looked_for(
    classes: pa.Table,
    photos: pa.Table,
    cells: dict[str, pa.Table],
    name: str,
    spoil: Callable[[int], int | None],
) -> None:
    row = next(k for k, label in enumerate(classes[name].to_pylist()) if k and label)
    label = classes[name][row].as_py()
    wrong = spoilt(classes, name, row, spoil(label))
    (problem,) = audit.wrong_labels(wrong, photos, cells, np.array([row - 1, row, row + 1]))
    assert problem.startswith(f"photo photo-{row} of a at ")
    assert problem.endswith(f"has the {name} class label {spoil(label)}, s2sphere finds {label}")
    assert audit.wrong_labels(wrong, photos, cells, np.array([row - 1, row + 1])) == []


def test_a_label_where_there_is_no_cell_is_found(
    classes: pa.Table, photos: pa.Table, cells: dict[str, pa.Table]
) -> None:
    row = classes["fine"].to_pylist().index(None)
    (problem,) = audit.wrong_labels(spoilt(classes, "fine", row, 0), photos, cells, np.array([row]))
    assert problem.endswith("has the fine class label 0, s2sphere finds None")


@pytest.mark.parametrize("change", [lambda t: t.slice(1), lambda t: pa.concat_tables([t.slice(1), t.slice(0, 1)])])
def test_other_photos_than_the_metadata_has_are_found(
    classes: pa.Table, photos: pa.Table, cells: dict[str, pa.Table], change: Callable[[pa.Table], pa.Table]
) -> None:
    (problem,) = audit.wrong_labels(change(classes), photos, cells, np.arange(5))
    assert "are not the 4000 of the metadata" in problem


def test_random_rows_are_different_ascending_and_the_same_for_a_seed() -> None:
    rows = audit.random_rows(10_000, 1000, seed=3)
    assert len(set(rows.tolist())) == 1000
    assert (np.diff(rows) > 0).all()
    assert (rows.min(), rows.max()) != (0, 999)
    assert rows.max() < 10_000
    assert (rows == audit.random_rows(10_000, 1000, seed=3)).all()
    assert (rows != audit.random_rows(10_000, 1000, seed=4)).any()
    assert audit.random_rows(7, 1000, seed=3).tolist() == list(range(7))
