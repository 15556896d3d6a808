"""Making partitionings: which cells, with how many photos, and where their middle is.

Here lives the adaptive rule of the paper (section 3.1). Not here: settings, the numbers of each cell's photos
(means.py), tables on disk, and what becomes of a photo in no cell. The one idea: sort the photos' leaf ids once;
after that a cell is a slice, counting is two binary searches, and every partitioning is made from the same sorted ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.cells.assignment import CellIndex, ClassLabels, ClassRanges
from geo_pipeline.cells.cell_id import CellIds, children, face_ids, first_leaves, last_leaves
from geo_pipeline.cells.chunks import in_threads
from geo_pipeline.cells.exact_sums import ExactParts
from geo_pipeline.cells.leaf import Degrees, leaf_ids
from geo_pipeline.cells.means import (
    MEAN_OF_DEGREES,
    MEAN_ON_THE_SPHERE,
    Mean,
    Sums,
    add_up,
    parts_for,
    points_of,
)
from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.cells.table import cells_table
from geo_pipeline.errors import InputError

_SUMMED_ROWS = 1 << 17  # so many that adding a sum for each range is little beside them


@dataclass(frozen=True)
class _Photos:
    """Photos in row order; arrays of equal length."""

    leaf_ids: CellIds
    latitudes: Degrees
    longitudes: Degrees


@dataclass(frozen=True)
class KeptCells:
    """The cells of one partitioning, ids ascending, with the number of photos in each (int64[n])."""

    cell_ids: CellIds
    imgs_per_cell: npt.NDArray[np.int64]

    @property
    def index(self) -> CellIndex:
        """The cells ready to be searched, labelled 0, 1, … in their order."""
        return CellIndex.of(self.cell_ids, np.arange(len(self.cell_ids), dtype=np.int32))


@dataclass(frozen=True)
class PartitionedPhotos:
    """Partitionings and the class label of each photo in each of them (int32[n] in row order, -1 for no cell)."""

    cells: tuple[pa.Table, ...]
    class_labels: tuple[ClassLabels, ...]


def make_partitionings(
    latitudes: Degrees, longitudes: Degrees, settings: Sequence[PartitioningSettings]
) -> list[pa.Table]:
    """The cells of each partitioning, as tables with columns `class_label, hex_id, imgs_per_cell, …_mean`.

    latitudes, longitudes: float64[n], degrees, the training photos in any order (the order changes no bit).
    A cell is split while it holds more than `img_max` photos and its level is below `lvl_max`, starting at `lvl_min`;
    leaves with more than `img_min` photos are kept and labelled 0, 1, … by ascending cell id. Means are those of
    degrees; from `lvl_min` 0 on, where a cell can hold a pole, those on the sphere.
    Raises InputError for values that are no coordinates, and where no cell is left.
    Takes 16 bytes of memory a photo beyond the coordinates.
    """
    leaves = leaf_ids(latitudes, longitudes)
    kept = _kept_cells(leaves, settings)
    return _measured(_Photos(leaves, latitudes, longitudes), kept, settings, labels=())


def partition_photos(
    latitudes: Degrees, longitudes: Degrees, settings: Sequence[PartitioningSettings]
) -> PartitionedPhotos:
    """As `make_partitionings`, with the class label of every photo in every partitioning.

    Takes 16 bytes of memory a photo, or 8 and 4 for each partitioning if that is more, beyond the coordinates.
    """
    leaves = leaf_ids(latitudes, longitudes)
    kept = _kept_cells(leaves, settings)
    labels = tuple(np.empty(len(leaves), dtype=np.int32) for _ in settings)
    cells = _measured(_Photos(leaves, latitudes, longitudes), kept, settings, labels)
    return PartitionedPhotos(tuple(cells), labels)


def keep_cells(sorted_leaf_ids: CellIds, settings: PartitioningSettings) -> KeptCells:
    """The cells of one partitioning by the leaf ids of its photos (ascending); none where none is left."""
    kept: list[tuple[CellIds, npt.NDArray[np.int64]]] = []
    ids = face_ids()
    for level in range(settings.lvl_max + 1):
        starts = np.searchsorted(sorted_leaf_ids, first_leaves(ids), side="left")
        counts = np.searchsorted(sorted_leaf_ids, last_leaves(ids), side="right") - starts
        enough = counts > settings.img_min
        full = (counts > settings.img_max) & (level < settings.lvl_max)
        split = full | (level < settings.lvl_min)
        done = enough & ~split
        kept.append((ids[done], counts[done]))
        ids = children(ids[enough & split])  # no descendant of a cell with too few photos has enough
    cell_ids, imgs_per_cell = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    order = np.argsort(cell_ids)
    return KeptCells(cell_ids[order], imgs_per_cell[order])


def _kept_cells(leaves: CellIds, settings: Sequence[PartitioningSettings]) -> list[KeptCells]:
    """The cells of each partitioning. Raises InputError where one has none."""
    in_order = np.sort(leaves)
    kept = [keep_cells(in_order, each) for each in settings]
    for cells, each in zip(kept, settings, strict=True):
        if not len(cells.cell_ids):
            raise InputError(
                f"no cell holds more than img_min = {each.img_min} photos ({len(leaves)} photos in all);"
                " lower img_min, lower the levels or supply more photos"
            )
    return kept


def _measured(
    photos: _Photos, kept: Sequence[KeptCells], settings: Sequence[PartitioningSettings], labels: Sequence[ClassLabels]
) -> list[pa.Table]:
    """The tables of cells; the photos' labels go into `labels`, if there are any."""
    ranges = ClassRanges.of([cells.index for cells in kept])
    means = [MEAN_ON_THE_SPHERE if each.lvl_min == 0 else MEAN_OF_DEGREES for each in settings]
    parts = parts_for(max(int(cells.imgs_per_cell.max()) for cells in kept))
    sums = _sums_over_ranges(photos, ranges, set(means), parts, labels)
    return [
        cells_table(
            cells.cell_ids,
            np.arange(len(cells.cell_ids)),
            cells.imgs_per_cell,
            *points_of(mean, sums[mean], of_ranges, cells.imgs_per_cell),
        )
        for cells, mean, of_ranges in zip(kept, means, ranges.class_labels, strict=True)
    ]


def _sums_over_ranges(
    photos: _Photos, ranges: ClassRanges, means: Set[Mean], parts: ExactParts, labels: Sequence[ClassLabels]
) -> dict[Mean, Sums]:
    """What each mean needs, summed over the photos of each range; the photos' labels go into `labels`."""

    def walk(chunks: Iterator[slice]) -> dict[Mean, Sums]:
        sums = {mean: np.zeros((mean.num_sums, ranges.num_ranges)) for mean in means}
        for rows in chunks:
            leaves, latitudes, longitudes = photos.leaf_ids[rows], photos.latitudes[rows], photos.longitudes[rows]
            found = ranges.find(leaves)
            for of_photos, of_ranges in zip(labels, ranges.class_labels, strict=False):
                of_photos[rows] = of_ranges[found]
            for mean in means:
                add_up(sums[mean], mean.quantities(leaves, latitudes, longitudes), parts, found)
        return sums

    each_thread = in_threads(len(photos.leaf_ids), walk, _SUMMED_ROWS)
    return {mean: np.sum([sums[mean] for sums in each_thread], axis=0) for mean in means}
