"""Finding the cell that contains a photo or another cell.

Here lives the search. Not here: what a photo without a cell means for training. The one idea: the cells of a
partitioning are disjoint ranges of ids, so the only candidate is the last range that begins at or before the id; the
id of a cell lies in the range of each of its ancestors and in none of its children, so ancestors are found alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.cells.cell_id import CellIds, first_leaves, last_leaves, tokens
from geo_pipeline.cells.leaf import Degrees, leaf_ids
from geo_pipeline.cells.table import cell_ids_of
from geo_pipeline.errors import InputError

ClassLabels = npt.NDArray[np.int32]
NO_CLASS = -1


@dataclass(frozen=True)
class CellIndex:
    """The cells of one partitioning ready to be searched: ids ascending, their ranges, their class labels."""

    first_leaves: CellIds
    last_leaves: CellIds
    class_labels: ClassLabels

    @classmethod
    def from_table(cls, cells: pa.Table) -> Self:
        """Index a table of cells. Raises InputError naming two cells of which one holds the other."""
        cell_ids = cell_ids_of(cells)
        order = np.argsort(cell_ids)
        cell_ids = cell_ids[order]
        check_disjoint(cell_ids)
        labels = cells["class_label"].to_numpy()[order].astype(np.int32)
        return cls(first_leaves(cell_ids), last_leaves(cell_ids), labels)

    def find(self, ids: CellIds) -> ClassLabels:
        """The label of the cell that contains each leaf or cell (int32[n]), -1 where none does."""
        candidate = np.searchsorted(self.first_leaves, ids, side="right") - 1
        inside = (candidate >= 0) & (ids <= self.last_leaves[candidate])
        return np.where(inside, self.class_labels[candidate], np.int32(NO_CLASS))


def assign_classes(latitudes: Degrees, longitudes: Degrees, cells: pa.Table) -> ClassLabels:
    """The class label of each photo in a partitioning (int32[n]), -1 where no cell contains the photo.

    latitudes, longitudes: float64[n], degrees. For several partitionings compute `leaf_ids` once and ask a `CellIndex`
    of each. Raises InputError for values that are no coordinates and for cells that overlap.
    """
    return CellIndex.from_table(cells).find(leaf_ids(latitudes, longitudes))


def check_disjoint(ascending_cell_ids: CellIds) -> None:
    """Raise InputError naming the first two cells that overlap; ids ascending."""
    order = np.argsort(first_leaves(ascending_cell_ids), kind="stable")
    ids = ascending_cell_ids[order]
    reach = np.maximum.accumulate(last_leaves(ids))
    overlaps = np.flatnonzero(first_leaves(ids)[1:] <= reach[:-1])
    if len(overlaps):
        one, other = tokens(ids[overlaps[0] : overlaps[0] + 2])
        raise InputError(
            f"cells {one} and {other} overlap; the cells of a partitioning must be disjoint: remove one of them"
        )
