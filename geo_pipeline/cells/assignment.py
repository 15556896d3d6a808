"""Finding the cell that contains a photo or another cell.

Here lives the search. Not here: what a photo without a cell means for training. The one idea: the cells of a
partitioning are disjoint ranges of ids, so the only candidate is the last range that begins at or before the id; the
id of a cell lies in the range of each of its ancestors and in none of its children, so ancestors are found alike. For
many photos and several partitionings one search is enough: in the range between two neighbouring borders of any cells
no label changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.cells.cell_id import CellIds, first_leaves, last_leaves, lowest_bits, tokens
from geo_pipeline.cells.chunks import in_threads
from geo_pipeline.cells.leaf import Degrees, leaf_ids
from geo_pipeline.cells.table import cell_ids_of
from geo_pipeline.errors import InputError

ClassLabels = npt.NDArray[np.int32]
NO_CLASS = -1
_NEXT_LEAF = np.uint64(2)


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
        check_disjoint(cell_ids)
        order = np.argsort(cell_ids)
        cell_ids = cell_ids[order]
        return cls.of(cell_ids, cells["class_label"].to_numpy()[order].astype(np.int32))

    @classmethod
    def of(cls, cell_ids: CellIds, class_labels: ClassLabels) -> Self:
        """Index disjoint cells, ids ascending."""
        return cls(first_leaves(cell_ids), last_leaves(cell_ids), class_labels)

    def find(self, ids: CellIds) -> ClassLabels:
        """The label of the cell that contains each leaf or cell (int32[n]), -1 where none does."""
        candidate = np.searchsorted(self.first_leaves, ids, side="right") - 1
        inside = (candidate >= 0) & (ids <= self.last_leaves[candidate])
        return np.where(inside, self.class_labels[candidate], np.int32(NO_CLASS))


@dataclass(frozen=True)
class ClassRanges:
    """The sphere cut along the borders of the cells of several partitionings.

    `first_leaves` (ascending) are the first leaves of ranges 1, 2, …; range 0 lies before all cells. `class_labels` has
    for each partitioning the label of each range.
    """

    first_leaves: CellIds
    class_labels: tuple[ClassLabels, ...]

    @classmethod
    def of(cls, indexes: Sequence[CellIndex]) -> Self:
        """The ranges of some partitionings."""
        ends = [index.last_leaves + _NEXT_LEAF for index in indexes]
        borders = np.unique(np.concatenate([*(index.first_leaves for index in indexes), *ends]))
        firsts = np.concatenate([np.zeros(1, dtype=np.uint64), borders])
        return cls(borders, tuple(index.find(firsts) for index in indexes))

    @property
    def num_ranges(self) -> int:
        """How many there are, with the one before all cells."""
        return len(self.first_leaves) + 1

    def find(self, leaf_ids: CellIds) -> npt.NDArray[np.int64]:
        """The number of the range of each leaf (int64[n]); a cell that is no leaf has no range.

        Sorting first makes up for itself three times: neighbouring searches go the same way (benchmarks/cells.md).
        """
        order = np.argsort(leaf_ids)
        ranges = np.empty(len(leaf_ids), dtype=np.int64)
        ranges[order] = np.searchsorted(self.first_leaves, leaf_ids[order], side="right")
        return ranges

    def labels(self, leaf_ids: CellIds) -> list[ClassLabels]:
        """The class label of each leaf in each partitioning (int32[n]), -1 where there is none."""
        found = [np.empty(len(leaf_ids), dtype=np.int32) for _ in self.class_labels]

        def fill(chunks: Iterator[slice]) -> None:
            for rows in chunks:
                ranges = self.find(leaf_ids[rows])
                for labels, of_ranges in zip(found, self.class_labels, strict=True):
                    labels[rows] = of_ranges[ranges]

        in_threads(len(leaf_ids), fill)
        return found


def assign_classes(latitudes: Degrees, longitudes: Degrees, cells: pa.Table) -> ClassLabels:
    """The class label of each photo in a partitioning (int32[n]), -1 where no cell contains the photo.

    latitudes, longitudes: float64[n], degrees. Raises InputError for values that are no coordinates and for cells that
    overlap. For several partitionings `assign_all_classes` is quicker.
    """
    return assign_all_classes(latitudes, longitudes, [cells])[0]


def assign_all_classes(latitudes: Degrees, longitudes: Degrees, cells: Sequence[pa.Table]) -> list[ClassLabels]:
    """The class labels of each photo in several partitionings, in one go; otherwise as `assign_classes`.

    Takes 8 bytes of memory a photo, and 4 for each partitioning, beyond the coordinates.
    """
    ranges = ClassRanges.of([CellIndex.from_table(each) for each in cells])
    return ranges.labels(leaf_ids(latitudes, longitudes))


def check_disjoint(cell_ids: CellIds) -> None:
    """Raise InputError naming the first two cells that overlap."""
    outer, inner = overlaps(cell_ids)
    if len(inner):
        one, other = tokens(cell_ids[[outer[0], inner[0]]])
        raise InputError(
            f"cells {one} and {other} overlap; the cells of a partitioning must be disjoint: remove one of them"
        )


def overlaps(cell_ids: CellIds) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which cells lie in which others: indices (outer, inner) of a pair for each cell that another one holds.

    The outer one is the largest that holds the inner one; of equal cells the first holds the others.
    """
    order = np.lexsort((~lowest_bits(cell_ids), first_leaves(cell_ids)))  # a cell before those in it
    ids = cell_ids[order]
    is_inner = np.zeros(len(ids), dtype=bool)
    is_inner[1:] = first_leaves(ids)[1:] <= np.maximum.accumulate(last_leaves(ids))[:-1]
    outer = np.maximum.accumulate(np.where(is_inner, 0, np.arange(len(ids))))
    return order[outer[is_inner]], order[is_inner]
