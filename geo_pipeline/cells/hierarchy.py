"""The hierarchy of the partitionings: the ancestors of each fine cell.

Here lives the table that f* reads. The one idea: ancestry is containment of S2 ids, taken from the tokens, never from
the cells' mean points.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from geo_pipeline.cells.assignment import NO_CLASS, CellIndex
from geo_pipeline.cells.table import cell_ids_of
from geo_pipeline.errors import InputError


def cell_hierarchy(cells: Mapping[str, pa.Table]) -> pa.Table:
    """For each cell of the last (finest) partitioning the class label of its ancestor-or-self in each partitioning.

    cells: tables of cells by the partitioning's name, coarse first. Returns one int32 column for each partitioning, in
    that order, and one row for each fine cell in the order of the fine class label.
    Raises InputError naming the fine cells that have no ancestor in a coarser partitioning.
    """
    names = list(cells)
    finest = cells[names[-1]].sort_by("class_label")
    fine_ids = cell_ids_of(finest)
    columns = {name: CellIndex.from_table(cells[name]).find(fine_ids) for name in names[:-1]}
    for name, ancestors in columns.items():
        orphans = np.flatnonzero(ancestors == NO_CLASS)
        if len(orphans):
            raise InputError(
                f"{len(orphans)} of {len(fine_ids)} cells of {names[-1]} lie in no cell of {name}, the first one is"
                f" {finest['hex_id'][int(orphans[0])]}; make both from the same photos, {name} with the larger img_max"
            )
    columns[names[-1]] = finest["class_label"].to_numpy()
    return pa.table({name: pa.array(labels, type=pa.int32()) for name, labels in columns.items()})
