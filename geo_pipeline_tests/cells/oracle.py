"""What s2sphere and plain per-photo Python say about cells: the independent side of the comparisons in this folder."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from s2sphere import CellId, LatLng

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
PUBLISHED = ("cells_50_5000", "cells_50_2000", "cells_50_1000")

# poles, the antimeridian, zero with both signs, face edges (45° meridians), face corners, denormals
_EDGE_LATITUDES = [0.0, -0.0, 5e-324, 45.0, -45.0, 35.264389682754654, -35.264389682754654, 90.0, -90.0, 89.9999999]
_EDGE_LONGITUDES = [0.0, -0.0, 5e-324, 45.0, -45.0, 90.0, -90.0, 135.0, -135.0, 180.0, -180.0, 179.9999999]


def s2_leaf(latitude: float, longitude: float) -> CellId:
    return CellId.from_lat_lng(LatLng.from_degrees(latitude, longitude))


def edge_coordinates() -> list[tuple[float, float]]:
    """Every pair of the edge values, each also one ulp to either side."""
    latitudes = {v for x in _EDGE_LATITUDES for v in (x, np.nextafter(x, -91), np.nextafter(x, 91)) if abs(v) <= 90}
    longitudes = {
        v for x in _EDGE_LONGITUDES for v in (x, np.nextafter(x, -181), np.nextafter(x, 181)) if abs(v) <= 180
    }
    pairs = [(float(a), float(o)) for a in latitudes for o in longitudes]
    return [*pairs, (-0.0, -0.0), (0.0, -0.0), (-0.0, 180.0), (-0.0, -180.0)]


def split_photo_by_photo(
    coordinates: Sequence[tuple[float, float]], *, img_min: int, img_max: int, lvl_min: int = 2, lvl_max: int = 30
) -> list[tuple[str, int, float, float]]:
    """Token, count and mean degrees of each kept cell in the order of ids, by moving each photo down a level at a time.

    Means are right away from the antimeridian.
    """
    leaves = [s2_leaf(*where) for where in coordinates]
    closed = photos_of_cells(leaves, img_min=img_min, img_max=img_max, lvl_min=lvl_min, lvl_max=lvl_max)
    return [
        (
            cell.to_token(),
            len(closed[cell]),
            sum(coordinates[k][0] for k in closed[cell]) / len(closed[cell]),
            sum(coordinates[k][1] for k in closed[cell]) / len(closed[cell]),
        )
        for cell in sorted(closed)
    ]


def photos_of_cells(
    leaves: Sequence[CellId], *, img_min: int, img_max: int, lvl_min: int = 2, lvl_max: int = 30
) -> dict[CellId, list[int]]:
    """The kept cells with the indices of the photos in each.

    Written from the paper's words alone; no sorting, no ranges, no numpy.
    """
    open_cells: dict[CellId, list[int]] = defaultdict(list)
    for k, leaf in enumerate(leaves):
        open_cells[leaf.parent(lvl_min)].append(k)
    closed: dict[CellId, list[int]] = {}
    while open_cells:
        cell, photos = open_cells.popitem()
        if len(photos) > img_max and cell.level() < lvl_max:
            for k in photos:
                open_cells[leaves[k].parent(cell.level() + 1)].append(k)
        elif len(photos) > img_min:
            closed[cell] = photos
    return closed


def real_data(name: str) -> Path:
    """A file of the real data that lies beside the repository; skips the test where it does not."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the real data is not beside the repository: ../shared/data/{name} is absent")
    return path


def real_coordinates(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes of a CSV file of the real data, read with the standard library."""
    with real_data(name).open(newline="") as stream:
        rows = [(float(row["LAT"]), float(row["LON"])) for row in csv.DictReader(stream)]
    latitudes, longitudes = np.array(rows).T
    return latitudes.copy(), longitudes.copy()
