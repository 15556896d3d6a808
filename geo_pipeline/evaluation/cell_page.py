"""The map of cells: one HTML file in which a person can look at every cell of some partitionings.

Here lives what goes into the page: its data as packed numbers, its colours. How it looks is in cells.html.jinja and
cells.css, what it does in cells.js, what it shares with other maps in map_page.py. Not here: reading tables. The one
idea: the page is a pure function of the tables and is forbidden, by its own policy, to load anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from geo_pipeline.cells.cell_id import levels
from geo_pipeline.cells.rings import UNITS_PER_DEGREE, cell_rings
from geo_pipeline.cells.table import cell_ids_of
from geo_pipeline.evaluation.map_page import Shapes, land_shapes, packed, render_map_page

FEW_TO_MANY: Final = {
    "light": ("#f0dc82", "#a9d18e", "#59b59b", "#2b8ea6", "#29629f", "#27306f"),
    "dark": ("#3a56a0", "#2f80ab", "#3fa89f", "#80ca8b", "#c8e282", "#fdf3b0"),
}
"""Colours of photos per cell for either theme. Their lightness runs one way, so who sees no hues reads them as well."""


@dataclass(frozen=True)
class _Partitioning:
    """A table of cells for the page; columns in base64: labels, photos, means (in `mean_units_per_degree`), levels.

    owners: for each ring of the shapes the row of its cell.
    """

    name: str
    num_cells: int
    num_photos: int
    tokens: str
    levels: str
    labels: str
    photos: str
    means: str
    mean_units_per_degree: int
    shapes: Shapes
    owners: str


def render_cell_page(cells: Mapping[str, pa.Table], title: str) -> str:
    """The page as HTML: self-contained, light and dark, for mouse, touch and keyboard.

    cells: tables of cells by the name to show (at least one table, none empty); the first one is shown first.
    """
    partitionings = [_partitioning(name, table) for name, table in cells.items()]
    photos = np.concatenate([table["imgs_per_cell"].to_numpy() for table in cells.values()])
    data = {
        "colours": FEW_TO_MANY,
        "fewest": int(photos.min()),
        "most": int(photos.max()),
        "land": asdict(land_shapes()),
        "partitionings": [asdict(each) for each in partitionings],
    }
    return render_map_page(
        "cells.html.jinja", "cells.css", "cells.js", title=title, partitionings=partitionings, data=data
    )


def _partitioning(name: str, table: pa.Table) -> _Partitioning:
    cell_ids = cell_ids_of(table)
    rings = cell_rings(cell_ids)
    means = np.stack([table["longitude_mean"].to_numpy(), table["latitude_mean"].to_numpy()], axis=-1)
    photos = table["imgs_per_cell"].to_numpy()
    return _Partitioning(
        name=name,
        num_cells=table.num_rows,
        num_photos=int(photos.sum()),
        tokens=" ".join(table["hex_id"].to_pylist()),
        levels=packed(levels(cell_ids), "<u1"),
        labels=packed(table["class_label"].to_numpy(), "<i4"),
        photos=packed(photos, "<u4"),
        means=packed(np.round(means * UNITS_PER_DEGREE), "<i4"),
        mean_units_per_degree=UNITS_PER_DEGREE,
        shapes=Shapes(UNITS_PER_DEGREE, 32, packed(rings.points, "<i4"), packed(rings.sizes, "<u2")),
        owners=packed(rings.owners, "<u4"),
    )
