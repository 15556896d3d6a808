import numpy as np
import pytest
from hypothesis import given, settings
from s2sphere import Cell, CellId, LatLng, Point

from geo_pipeline.cells.cell_id import children, face_ids
from geo_pipeline.cells.geometry import cell_centres, cell_outlines, cells_around, drawable_cells
from geo_pipeline_tests.cells.test_cell_id import cells, ids


def point(latitude: float, longitude: float) -> Point:
    return LatLng.from_degrees(float(latitude), float(longitude)).to_point()


@settings(deadline=None)
@given(cells.filter(lambda cell: cell.level() > 0))
def test_centres_and_corners_equal_s2sphere(cell: CellId) -> None:
    centre = cell.to_lat_lng()
    ours = cell_centres(ids(cell))
    assert point(ours[0][0], ours[1][0]).angle(centre.to_point()) < 1e-14
    latitudes, longitudes = cell_outlines(ids(cell), segments_per_edge=2)
    for k in range(4):
        corner = Cell(cell).get_vertex(k)
        for edge, end in ((k, 0), (k - 1, -1)):
            assert point(latitudes[0, edge, end], longitudes[0, edge, end]).angle(corner) < 1e-14


@settings(deadline=None)
@given(cells.filter(lambda cell: cell.level() > 0))
def test_the_cells_around_a_cell_equal_s2sphere(cell: CellId) -> None:
    (around,) = cells_around(ids(cell))
    assert around[4] == cell.id()
    assert set(around.tolist()) == {cell.id(), *(each.id() for each in cell.get_all_neighbors(cell.level()))}


@settings(deadline=None)
@given(cells.filter(lambda cell: 0 < cell.level() < 20))
def test_points_inside_an_edge_lie_on_its_great_circle(cell: CellId) -> None:
    latitudes, longitudes = cell_outlines(ids(cell), segments_per_edge=2)
    for edge in range(4):
        first, middle, last = (point(latitudes[0, edge, k], longitudes[0, edge, k]) for k in range(3))
        assert first.angle(middle) + middle.angle(last) == pytest.approx(first.angle(last), rel=1e-7, abs=1e-13)


@pytest.mark.parametrize("level", [1, 2, 4])
def test_the_outlines_of_all_cells_of_a_level_tile_the_map_of_degrees(level: int) -> None:
    every = face_ids()
    for _ in range(level):
        every = children(every)
    latitudes, longitudes = (part.reshape(len(every), -1) for part in cell_outlines(every))
    assert np.abs(longitudes).max() <= 180
    areas = (longitudes * np.roll(latitudes, -1, axis=1) - np.roll(longitudes, -1, axis=1) * latitudes).sum(axis=1) / 2
    assert areas.min() > 0  # counter-clockwise
    assert areas.sum() == pytest.approx(360 * 180)


def test_only_whole_faces_are_divided_for_drawing() -> None:
    some = np.concatenate([children(face_ids()[:1]), face_ids()[3:4]])
    drawn, owners = drawable_cells(some)
    assert owners.tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    assert drawn.tolist() == [*some[:4].tolist(), *children(face_ids()[3:4]).tolist()]
