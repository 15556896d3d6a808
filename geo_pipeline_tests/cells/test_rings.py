"""Rings of cells against the vertices and the great circles of s2sphere."""

from __future__ import annotations

import numpy as np
import pytest
from s2sphere import Cell, CellId, LatLng

from geo_pipeline.cells.cell_id import children, face_ids, parse_tokens
from geo_pipeline.cells.distance import great_circle_km
from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.cells.rings import UNITS_PER_DEGREE, Rings, cell_rings
from geo_pipeline.cells.table import cell_ids_of
from geo_pipeline_tests.cells.oracle import PUBLISHED, real_data

UNIT = 1 / UNITS_PER_DEGREE


def rings_of(rings: Rings) -> list[np.ndarray]:
    """[longitude, latitude] in degrees of each ring."""
    return np.split(rings.points * UNIT, np.cumsum(rings.sizes.astype(int))[:-1])


def vertices(cell_id: int) -> np.ndarray:
    """[longitude, latitude] in degrees of a cell's corners, by s2sphere."""
    corners = (LatLng.from_point(Cell(CellId(int(cell_id))).get_vertex(k)) for k in range(4))
    return np.array([[corner.lng().degrees, corner.lat().degrees] for corner in corners])


def assert_has_corners(ring: np.ndarray, cell_id: int) -> None:
    """Each vertex of s2sphere is in the ring, within the rounding; ±180 has either sign, a pole any longitude."""
    for longitude, latitude in vertices(cell_id):
        east = np.abs((ring[:, 0] - longitude + 180) % 360 - 180) <= UNIT
        here = np.abs(ring[:, 1] - latitude) <= UNIT
        assert (here & (east | (abs(latitude) > 90 - UNIT))).any(), (CellId(int(cell_id)), longitude, latitude)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_corners_of_published_cells_are_those_of_s2sphere(name: str) -> None:
    cell_ids = cell_ids_of(read_cells_csv(real_data(f"{name}.csv")))
    rings = cell_rings(cell_ids)
    assert sorted(rings.owners.tolist()) == list(range(len(cell_ids)))
    for owner, ring in list(zip(rings.owners, rings_of(rings), strict=True))[::7]:
        assert_has_corners(ring, cell_ids[owner])


def test_no_straight_line_of_a_ring_strays_far_from_the_great_circle() -> None:
    cell_ids = face_ids()
    for _ in range(9):
        cell_ids = children(cell_ids)[::3]
        rings = cell_rings(cell_ids)
        for ring in rings_of(rings):
            ends = np.roll(ring, -1, axis=0)
            ordinary = (np.abs(ring[:, 1]) < 70) & (np.abs(ends[:, 1]) < 70)
            (lng_a, lat_a), (lng_b, lat_b) = ring[ordinary].T, ends[ordinary].T
            middle = great_circle_middle(lat_a, lng_a, lat_b, lng_b)
            assert great_circle_km(*middle, (lat_a + lat_b) / 2, (lng_a + lng_b) / 2).max(initial=0) < 0.15


def great_circle_middle(
    lat_a: np.ndarray, lng_a: np.ndarray, lat_b: np.ndarray, lng_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The middle of the great circle between two points, from the sum of their unit vectors."""
    phi, theta = np.radians([lat_a, lat_b]), np.radians([lng_a, lng_b])
    x, y, z = (part.sum(axis=0) for part in (np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)))
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


def test_large_cells_have_more_points_than_small_ones() -> None:
    sizes = dict.fromkeys(range(2, 12), 0)
    for level in sizes:
        leaf = CellId.from_lat_lng(LatLng.from_degrees(48.86, 2.35))
        (sizes[level],) = cell_rings(np.array([leaf.parent(level).id()], dtype=np.uint64)).sizes
    assert sizes == {2: 256, 3: 128, 4: 64, 5: 32, 6: 16, 7: 8, 8: 4, 9: 4, 10: 4, 11: 4}


def test_a_whole_face_has_the_rings_of_its_children() -> None:
    rings = cell_rings(face_ids())
    assert sorted(rings.owners.tolist()) == sorted([*range(6)] * 4)
    for ring in rings_of(rings):
        assert np.ptp(ring[:, 0]) <= 180
        assert np.abs(ring).max() <= 180


def test_even_a_leaf_has_a_point_where_it_is() -> None:
    cell_ids = parse_tokens(["47e66e1b8f0c9a2b", "0000000000000001", "5fffffffffffffff"])
    rings = cell_rings(cell_ids)
    assert rings.sizes.min() >= 1
    for owner, ring in zip(rings.owners, rings_of(rings), strict=True):
        assert np.abs(ring[:, 1] - vertices(cell_ids[owner])[:, 1].mean()).max() <= 2 * UNIT
