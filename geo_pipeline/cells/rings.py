"""The outlines of cells as rings of whole numbers: little to send, exact enough to draw at any scale.

Here lives the choice of how finely an edge is divided, and the rounding. Not here: the geometry (geometry.py) and
GeoJSON (geojson.py). The one idea: how far a straight line strays from the great circle falls with the square of its
length, so large cells get many points along an edge and small ones, nearly all, only their corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo_pipeline.cells.cell_id import CellIds, levels
from geo_pipeline.cells.geometry import cell_outlines, drawable_cells

UNITS_PER_DEGREE = 10_000_000
"""A unit is about a centimetre, the width of a leaf; ±180 degrees fit into 32 bits."""

_STRAIGHT_LEVEL = 8  # an edge of 40 km strays 50 m from a straight line on a map of degrees at 60 degrees north


@dataclass(frozen=True)
class Rings:
    """Rings one after another, counter-clockwise, not closed: the last point of a ring joins its first.

    points: int32[m, 2], longitude and latitude in units of 1e-7 degrees; sizes: uint16[n], points of each ring; owners:
    int64[n], the index of the cell that each ring belongs to.
    """

    points: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.uint16]
    owners: npt.NDArray[np.int64]


def cell_rings(cell_ids: CellIds) -> Rings:
    """A ring for each cell, ordered from small cells to large; a whole cube face has four, of its children.

    Edges are divided along the great circle into 2**(8 - level) parts. Longitudes of a ring are continuous and within
    ±180; at a pole, which is a line on a map of degrees, the ring follows that line. A leaf's ring may be one point.
    """
    drawn, owners = drawable_cells(cell_ids)
    segments = 1 << np.maximum(_STRAIGHT_LEVEL - levels(drawn), 0)
    groups = [(int(count), np.flatnonzero(segments == count)) for count in np.unique(segments)]
    rings = [_rounded(drawn[index], count) for count, index in groups]
    return Rings(
        np.concatenate([points for points, _ in rings]),
        np.concatenate([sizes for _, sizes in rings]).astype(np.uint16),
        np.concatenate([owners[index] for _, index in groups]),
    )


def _rounded(cell_ids: CellIds, segments_per_edge: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Points of the outlines, each once where two edges meet, and how many each cell has."""
    latitudes, longitudes = cell_outlines(cell_ids, segments_per_edge)
    degrees = np.stack([longitudes, latitudes], axis=-1).reshape(len(cell_ids), -1, 2)
    points = np.round(degrees * UNITS_PER_DEGREE).astype(np.int32)
    kept = (points != np.roll(points, 1, axis=1)).any(axis=-1)
    kept[:, 0] |= ~kept.any(axis=1)
    return points[kept], kept.sum(axis=1)
