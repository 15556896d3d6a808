"""Where on earth a cell lies: its centre and its outline.

Here lives the way back from cell ids to degrees. Not here: GeoJSON (geojson.py) and drawing (evaluation). The one
idea: on a cube face a cell is a rectangle in (u, v), whose straight edges are great circles; a point inside an edge is
a weighted mean of its ends. Source: S2 geometry library, `s2cell.cc`, `s2coords.h`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geo_pipeline.cells.cell_id import CellIds, children, first_leaves, levels, lowest_bits
from geo_pipeline.cells.hilbert import face_ij
from geo_pipeline.cells.leaf import LEAVES_PER_EDGE, Degrees, leaf_ids

# for each face: x, y, z as rows, the weights of u, v, 1 as columns
_FACE_AXES = np.array(
    [
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        [[-1, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
        [[0, 0, -1], [0, -1, 0], [-1, 0, 0]],
        [[0, 1, 0], [0, 0, -1], [-1, 0, 0]],
        [[0, 1, 0], [1, 0, 0], [0, 0, -1]],
    ],
    dtype=np.float64,
)
_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])  # counter-clockwise seen from outside


def cell_centres(cell_ids: CellIds) -> tuple[Degrees, Degrees]:
    """Latitude and longitude (float64[n], degrees) of the middle of each cell, as s2sphere's `to_lat_lng`."""
    face, i, j, size = _squares(cell_ids)
    return _degrees(face, _stretch((i + size / 2) / LEAVES_PER_EDGE), _stretch((j + size / 2) / LEAVES_PER_EDGE))


def cell_outlines(cell_ids: CellIds, segments_per_edge: int = 4) -> tuple[Degrees, Degrees]:
    """The outline of each cell, counter-clockwise, its edges subdivided along the great circle.

    Returns latitudes and longitudes (float64[n, 4, segments_per_edge + 1], degrees): each edge with both its ends.
    The longitudes of one cell are continuous (a cell at the antimeridian reaches exactly ±180) and a corner at a pole
    stands once with the longitude of either edge, so an outline can be drawn as it is on a map of degrees.
    The cells must be of level 1 or deeper: a whole cube face goes around a pole or across the antimeridian
    (`drawable_cells` divides those).
    """
    face, i, j, size = _squares(cell_ids)
    ends = (_CORNERS, np.roll(_CORNERS, -1, axis=0))
    (u0, v0), (u1, v1) = (
        (_stretch((i[:, None] + size[:, None] * c[:, 0]) / LEAVES_PER_EDGE),
         _stretch((j[:, None] + size[:, None] * c[:, 1]) / LEAVES_PER_EDGE))
        for c in ends
    )  # fmt: skip
    weight = np.linspace(0, 1, segments_per_edge + 1)
    u = u0[..., None] * (1 - weight) + u1[..., None] * weight
    v = v0[..., None] * (1 - weight) + v1[..., None] * weight
    latitudes, longitudes = _degrees(face[:, None, None], u, v)
    _, centres = cell_centres(cell_ids)
    offsets = longitudes - centres[:, None, None]
    longitudes -= np.where(np.abs(offsets) > 180, np.copysign(360, offsets), 0)
    return latitudes, _along_meridians_to_poles(latitudes, longitudes)


def cells_around(cell_ids: CellIds) -> CellIds:
    """The 3 x 3 cells of equal level in the middle of which each cell lies (uint64[n, 9], itself in the middle).

    At a corner of the cube, where only three cells meet, and for whole faces some cells stand more than once.
    """
    face, i, j, size = _squares(cell_ids)
    steps = np.array([-0.5, 0.5, 1.5])
    u, v = (_stretch((first[:, None] + size[:, None] * steps) / LEAVES_PER_EDGE) for first in (i, j))
    latitudes, longitudes = _degrees(face[:, None, None], u[:, :, None], v[:, None, :])
    leaves = leaf_ids(latitudes.ravel(), longitudes.ravel()).reshape(-1, 9)
    lowest = lowest_bits(cell_ids)[:, None]
    return leaves & ~(lowest - np.uint64(1)) | lowest


def drawable_cells(cell_ids: CellIds) -> tuple[CellIds, npt.NDArray[np.int64]]:
    """The cells with each whole cube face replaced by its four children, and for each the index it came from."""
    index = np.arange(len(cell_ids))
    whole = levels(cell_ids) == 0
    ids = np.concatenate([cell_ids[~whole], children(cell_ids[whole])])
    return ids, np.concatenate([index[~whole], np.repeat(index[whole], 4)])


def _squares(cell_ids: CellIds) -> tuple[npt.NDArray[np.int64], ...]:
    """Face, first column, first row and number of leaves along an edge of each cell."""
    face, i, j = face_ij(first_leaves(cell_ids))
    size = np.sqrt(lowest_bits(cell_ids).astype(np.float64)).astype(np.int64)
    return face, i & -size, j & -size, size


def _stretch(s: Degrees) -> Degrees:
    """The u in -1..1 of s in 0..1: the inverse of S2's quadratic transform."""
    return np.where(s >= 0.5, (1 / 3) * (4 * s * s - 1), (1 / 3) * (1 - 4 * (1 - s) * (1 - s)))


def _degrees(face: npt.NDArray[np.int64], u: Degrees, v: Degrees) -> tuple[Degrees, Degrees]:
    """Latitude and longitude in degrees of (u, v) on cube faces."""
    axes = _FACE_AXES[face]
    x, y, z = (axes[..., k, 0] * u + axes[..., k, 1] * v + axes[..., k, 2] for k in range(3))
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


def _along_meridians_to_poles(latitudes: Degrees, longitudes: Degrees) -> Degrees:
    """Longitudes in which an edge that ends at a pole stays on its meridian."""
    first, last = (np.abs(latitudes[..., k]) == 90 for k in (0, -1))
    straight = longitudes.copy()
    straight[first, 0] = longitudes[first, 1]
    straight[last, -1] = longitudes[last, -2]
    return straight
