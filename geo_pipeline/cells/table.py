"""The table of cells: its columns, and building it.

Here lives the shape that every partitioning has, made here or published. Not here: how cells are chosen
(partitioning.py) and the CSV form (published.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.cells.cell_id import CellIds, parse_tokens, tokens

CELLS_SCHEMA = pa.schema(
    [
        ("class_label", pa.int32()),
        ("hex_id", pa.string()),
        ("imgs_per_cell", pa.int64()),
        ("latitude_mean", pa.float64()),
        ("longitude_mean", pa.float64()),
    ]
)


def cells_table(
    cell_ids: CellIds,
    class_labels: npt.ArrayLike,
    imgs_per_cell: npt.ArrayLike,
    latitude_means: npt.ArrayLike,
    longitude_means: npt.ArrayLike,
) -> pa.Table:
    """A table of `CELLS_SCHEMA` from columns of equal length; means in degrees."""
    columns: Sequence[object] = (class_labels, tokens(cell_ids), imgs_per_cell, latitude_means, longitude_means)
    return pa.table([pa.array(c, type=f.type) for c, f in zip(columns, CELLS_SCHEMA, strict=True)], schema=CELLS_SCHEMA)


def cell_ids_of(cells: pa.Table) -> CellIds:
    """The cell ids (uint64[n]) of a table of cells, in its row order."""
    return parse_tokens(cells["hex_id"].to_pylist())
