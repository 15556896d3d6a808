"""Cells as GeoJSON (RFC 7946), for any map program.

Here lives the translation of outlines into features. Not here: the geometry itself (geometry.py).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from geo_pipeline.cells.cell_id import levels
from geo_pipeline.cells.geometry import cell_outlines, drawable_cells
from geo_pipeline.cells.table import cell_ids_of

Ring = list[list[float]]


def cells_geojson(cells: pa.Table, segments_per_edge: int = 4) -> dict[str, Any]:
    """A FeatureCollection with a polygon for each cell, in row order; its properties are the row and the S2 level.

    Edges are subdivided along the great circle. Coordinates are longitude, latitude in degrees, rounded to 1e-9 (a
    leaf is 7e-8 wide).
    A whole cube face becomes a MultiPolygon of its four children.
    """
    cell_ids = cell_ids_of(cells)
    drawn, owners = drawable_cells(cell_ids)
    rings: dict[int, list[Ring]] = defaultdict(list)
    latitudes, longitudes = cell_outlines(drawn, segments_per_edge)
    points = np.round(np.stack([longitudes, latitudes], axis=-1).reshape(len(drawn), -1, 2), 9).tolist()
    for owner, ring in zip(owners.tolist(), points, strict=True):
        rings[owner].append(_closed(ring))
    rows = zip(cells.to_pylist(), levels(cell_ids).tolist(), strict=True)
    features = [_feature(rings[k], {**row, "level": level}) for k, (row, level) in enumerate(rows)]
    return {"type": "FeatureCollection", "features": features}


def _closed(ring: Ring) -> Ring:
    """The ring without the doubled corners, its first point repeated at the end."""
    once = [point for k, point in enumerate(ring) if point != ring[k - 1]]
    return [*once, once[0]]


def _feature(rings: list[Ring], properties: dict[str, Any]) -> dict[str, Any]:
    if len(rings) == 1:
        geometry: dict[str, Any] = {"type": "Polygon", "coordinates": [rings[0]]}
    else:
        geometry = {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}
