"""What there is to say of a partitioning, of a hierarchy and of labels, in small tables of numbers.

Pure functions of the assets' tables, for the Dagster page and whoever else describes them. Not here: drawing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.cells.cell_id import levels
from geo_pipeline.cells.table import cell_ids_of

Counts = npt.NDArray[np.int64]


def cell_levels(cells: pa.Table) -> Counts:
    """The S2 level of each cell (int64[n])."""
    return levels(cell_ids_of(cells))


def cells_by_level(cells: pa.Table) -> pa.Table:
    """`level, cells, photos`: how many cells of each S2 level that occurs, and the photos in them (int64)."""
    by_level = pa.table({"level": cell_levels(cells), "photos": cells["imgs_per_cell"]}).group_by("level")
    counted = by_level.aggregate([([], "count_all"), ("photos", "sum")]).sort_by("level")
    return counted.rename_columns(["level", "cells", "photos"])


def spread(counts: Counts) -> dict[str, float]:
    """The least, the median and the most of some counts, at least one."""
    return {"least": int(counts.min()), "median": float(np.median(counts)), "most": int(counts.max())}


def fine_cells_in_each(hierarchy: pa.Table, coarser: str, num_cells: int) -> Counts:
    """How many fine cells lie in each cell of a coarser partitioning (int64[num_cells], by class label)."""
    return np.bincount(hierarchy[coarser].to_numpy(), minlength=num_cells)


def hierarchy_summary(hierarchy: pa.Table, cells: Mapping[str, pa.Table]) -> pa.Table:
    """A row for each coarser partitioning: its cells, with and without fine ones, and the fine cells in one that has.

    hierarchy: a column of class labels for each partitioning, a row for each fine cell; cells: the tables of the
    coarser partitionings.
    """
    rows = []
    for name, table in cells.items():
        inside = fine_cells_in_each(hierarchy, name, table.num_rows)
        with_fine = inside[inside > 0]
        numbers = {"cells": len(inside), "with_fine": len(with_fine), "without": len(inside) - len(with_fine)}
        rows.append({"partitioning": name, **numbers, **spread(with_fine)})
    return pa.Table.from_pylist(rows)


def labelled_by_photo_set(classes: pa.Table) -> pa.Table:
    """`photo_set, photos`, then how many of them have a label in each partitioning; a row for each set (int64)."""
    names = [name for name in classes.column_names if name not in {"photo_id", "photo_set"}]
    counted = classes.group_by("photo_set", use_threads=False)
    counted = counted.aggregate([([], "count_all"), *((name, "count") for name in names)])
    return counted.select(["photo_set", "count_all", *(f"{name}_count" for name in names)]).rename_columns(
        ["photo_set", "photos", *names]
    )
