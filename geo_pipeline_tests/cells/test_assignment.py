import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from s2sphere import CellId

from geo_pipeline.cells.assignment import CellIndex, ClassRanges, assign_all_classes, assign_classes, overlaps
from geo_pipeline.cells.partitioning import make_partitionings
from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.cells.table import cells_table
from geo_pipeline.errors import InputError
from geo_pipeline_tests.cells.oracle import PUBLISHED, real_coordinates, real_data, s2_leaf


def table(*tokens: str, labels: list[int] | None = None) -> pa.Table:
    ids = np.array([CellId.from_token(token).id() for token in tokens], dtype=np.uint64)
    zeros = np.zeros(len(tokens))
    return cells_table(
        ids, np.array(labels if labels is not None else range(len(tokens))), zeros.astype(int), zeros, zeros
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=30), st.integers(0, 30))
def test_a_photo_gets_the_label_of_the_cell_that_s2sphere_says_contains_it(
    coordinates: list[tuple[float, float]], level: int
) -> None:
    cells = sorted({s2_leaf(*where).parent(level) for where in coordinates[::2]}, reverse=True)
    ours = assign_classes(*np.array(coordinates).T, table(*(cell.to_token() for cell in cells)))
    leaves = [s2_leaf(*where) for where in coordinates]
    expected = [next((k for k, cell in enumerate(cells) if cell.contains(leaf)), -1) for leaf in leaves]
    assert ours.dtype == np.int32
    assert ours.tolist() == expected


@settings(deadline=None)
@given(st.floats(-90, 90), st.floats(-180, 180), st.integers(1, 30))
def test_a_cell_holds_its_first_and_last_leaf_itself_and_its_children_but_not_what_lies_beside(
    latitude: float, longitude: float, level: int
) -> None:
    cell = s2_leaf(latitude, longitude).parent(level)
    index = CellIndex.from_table(table(cell.to_token(), labels=[4]))
    inside = [cell.range_min(), cell.range_max(), cell, *([] if cell.is_leaf() else cell.children())]
    beside = [cell.range_min().id() - 1, cell.range_max().id() + 1, cell.parent().id()]
    assert index.find(np.array([each.id() for each in inside], dtype=np.uint64)).tolist() == [4] * len(inside)
    assert index.find(np.array(beside, dtype=np.uint64)).tolist() == [-1] * 3


def test_published_labels_are_kept_whatever_their_order() -> None:
    cells = table("47c", "0c", "89c", labels=[7, 3, 5])
    leaves = [CellId.from_token(token).to_lat_lng() for token in ("47c4", "0c", "89c", "1c")]
    where = np.array([[leaf.lat().degrees, leaf.lng().degrees] for leaf in leaves])
    assert assign_classes(where[:, 0], where[:, 1], cells).tolist() == [7, 3, 5, -1]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=2, max_size=30), st.integers(0, 15))
def test_several_partitionings_in_one_go_give_the_labels_of_each_alone(
    coordinates: list[tuple[float, float]], level: int
) -> None:
    levels = (level, level + 1, 2 * level)
    tables = [
        table(*(cell.to_token() for cell in {s2_leaf(*where).parent(each) for where in coordinates[::2]}))
        for each in levels
    ]
    together = assign_all_classes(*np.array(coordinates).T, tables)
    assert [labels.tolist() for labels in together] == [
        assign_classes(*np.array(coordinates).T, each).tolist() for each in tables
    ]


def test_the_first_and_last_leaf_of_neighbouring_cells_get_their_own_labels() -> None:
    first, gap, last = list(CellId.from_token("47c").children())[:3]
    finer = list(first.children())
    indexes = [CellIndex.from_table(table(*(c.to_token() for c in some))) for some in ([first, last], [*finer, gap])]
    edges = [(cell.range_min().id(), cell.range_max().id()) for cell in (first, gap, last)]
    outside = [edges[0][0] - 2, edges[2][1] + 2]
    labels = ClassRanges.of(indexes).labels(np.array([*sum(edges, ()), *outside], dtype=np.uint64))
    assert [each.tolist() for each in labels] == [[0, 0, -1, -1, 1, 1, -1, -1], [0, 3, 4, 4, -1, -1, -1, -1]]


def test_the_cells_of_all_six_faces_can_be_told_apart() -> None:
    faces = [CellId.from_face_pos_level(face, 0, 0) for face in range(6)]
    index = CellIndex.from_table(table(*(face.to_token() for face in faces)))
    ends = np.array([[face.range_min().id(), face.range_max().id()] for face in faces], dtype=np.uint64)
    assert ClassRanges.of([index]).labels(ends.ravel())[0].tolist() == np.repeat(range(6), 2).tolist()


def test_overlaps_name_the_largest_cell_around_each_inner_one() -> None:
    ids = [CellId.from_token(token).id() for token in ("47c4", "0c", "47c", "89c", "47c44", "0c", "4c")]
    outer, inner = overlaps(np.array(ids, dtype=np.uint64))
    assert sorted(zip(outer.tolist(), inner.tolist(), strict=True)) == [(1, 5), (2, 0), (2, 4)]


def test_the_counts_of_made_cells_are_the_photos_assigned_to_them() -> None:
    rng = np.random.default_rng(2)
    latitudes, longitudes = rng.normal(40, 9, 5000), rng.normal(10, 40, 5000)
    (cells,) = make_partitionings(latitudes, longitudes, [PartitioningSettings(img_min=20, img_max=200)])
    labels = assign_classes(latitudes, longitudes, cells)
    assert np.bincount(labels[labels >= 0]).tolist() == cells["imgs_per_cell"].to_pylist()


def test_overlapping_cells_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="47c and 47c4 overlap"):
        assign_classes(np.array([0.0]), np.array([0.0]), table("0c", "47c4", "47c"))


@pytest.mark.parametrize(
    ("photos", "inside"),
    [
        ("im2gps_places365.csv", (237, 236, 231)),
        ("im2gps3k_places365.csv", (2996, 2988, 2964)),
        ("yfcc25600_places365.csv", (25600, 25600, 25600)),
    ],
)
def test_as_many_benchmark_photos_as_published_fall_in_the_published_cells(
    photos: str, inside: tuple[int, int, int]
) -> None:
    where = real_coordinates(photos)
    tables = [read_cells_csv(real_data(f"{name}.csv")) for name in PUBLISHED]
    assert tuple(int((assign_classes(*where, cells) >= 0).sum()) for cells in tables) == inside
