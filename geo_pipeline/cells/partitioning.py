"""Making partitionings: which cells, with how many photos, and where their middle is.

Here lives the adaptive rule of the paper (section 3.1) and the numbers of each cell. Not here: settings, tables on
disk, and what becomes of a photo in no cell. The one idea: sort the photos once by leaf id; after that a cell is a
slice, counting is two binary searches, and every partitioning is made from the same sorted arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.cells.cell_id import CellIds, children, face_ids, first_leaves, last_leaves
from geo_pipeline.cells.geometry import cell_centres
from geo_pipeline.cells.leaf import Degrees, leaf_ids, unit_vectors
from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.cells.table import cells_table
from geo_pipeline.errors import InputError


@dataclass(frozen=True)
class SortedPhotos:
    """Photos in the order of (leaf id, latitude, longitude), which depends on no row order; arrays of equal length."""

    leaf_ids: CellIds
    latitudes: Degrees
    longitudes: Degrees


@dataclass(frozen=True)
class _Slices:
    """Cells and the slice of the sorted photos that lies in each."""

    cell_ids: CellIds
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]

    def sums(self, values: Degrees) -> Degrees:
        """The sum of the values in each slice; slices ascend, do not overlap and are not empty."""
        edges = np.stack([self.starts, self.stops], axis=1).ravel()
        if edges[-1] == len(values):  # reduceat takes no index behind the end: the last slice ends there by itself
            edges = edges[:-1]
        sums: Degrees = np.add.reduceat(values, edges)[::2]
        return sums


def make_partitionings(
    latitudes: Degrees, longitudes: Degrees, settings: Sequence[PartitioningSettings]
) -> list[pa.Table]:
    """The cells of each partitioning, as tables with columns `class_label, hex_id, imgs_per_cell, …_mean`.

    latitudes, longitudes: float64[n], degrees, the training photos in any order (the order changes nothing).
    A cell is split while it holds more than `img_max` photos and its level is below `lvl_max`, starting at `lvl_min`;
    leaves with more than `img_min` photos are kept and labelled 0, 1, … by ascending cell id.
    Raises InputError for values that are no coordinates, and where no cell is left.
    """
    photos = sort_photos(latitudes, longitudes)
    return [make_cells(photos, each) for each in settings]


def sort_photos(latitudes: Degrees, longitudes: Degrees) -> SortedPhotos:
    """Photos sorted by leaf id; those that share a leaf by latitude and longitude. Raises InputError as `leaf_ids`."""
    leaves = leaf_ids(latitudes, longitudes)
    order = np.argsort(leaves)
    leaves, latitudes, longitudes = leaves[order], latitudes[order], longitudes[order]
    moved = (np.diff(latitudes) != 0) | (np.diff(longitudes) != 0)
    mixed = np.unique(leaves[1:][moved & (leaves[1:] == leaves[:-1])])
    rows = np.flatnonzero(_is_in(leaves, mixed))  # few: a leaf is a centimetre wide
    again = rows[np.lexsort((longitudes[rows], latitudes[rows], leaves[rows]))]
    latitudes[rows], longitudes[rows] = latitudes[again], longitudes[again]
    return SortedPhotos(leaves, latitudes, longitudes)


def make_cells(photos: SortedPhotos, settings: PartitioningSettings) -> pa.Table:
    """The cells of one partitioning of sorted photos; see `make_partitionings`."""
    slices = _split_adaptively(photos.leaf_ids, settings)
    if not len(slices.cell_ids):
        raise InputError(
            f"no cell holds more than img_min = {settings.img_min} photos ({len(photos.leaf_ids)} photos in all);"
            " lower img_min, lower the levels or supply more photos"
        )
    means = _means_on_the_sphere if settings.lvl_min == 0 else _means_of_degrees
    labels = np.arange(len(slices.cell_ids))
    return cells_table(slices.cell_ids, labels, slices.stops - slices.starts, *means(photos, slices))


def _split_adaptively(leaves: CellIds, settings: PartitioningSettings) -> _Slices:
    """The kept cells in ascending order: one binary search for each end of each cell that was ever looked at."""
    kept: list[_Slices] = []
    ids = face_ids()
    for level in range(settings.lvl_max + 1):
        starts = np.searchsorted(leaves, first_leaves(ids), side="left")
        stops = np.searchsorted(leaves, last_leaves(ids), side="right")
        enough = stops - starts > settings.img_min
        full = (stops - starts > settings.img_max) & (level < settings.lvl_max)
        split = full | (level < settings.lvl_min)
        done = enough & ~split
        kept.append(_Slices(ids[done], starts[done], stops[done]))
        ids = children(ids[enough & split])  # no descendant of a cell with too few photos has enough
    found = [np.concatenate(parts) for parts in zip(*((s.cell_ids, s.starts, s.stops) for s in kept), strict=True)]
    order = np.argsort(found[0])
    return _Slices(*(part[order] for part in found))


def _means_of_degrees(photos: SortedPhotos, slices: _Slices) -> tuple[Degrees, Degrees]:
    """The mean latitude and longitude of each slice, the longitudes unwrapped around the cell's centre."""
    counts = slices.stops - slices.starts
    latitudes = slices.sums(photos.latitudes) / counts
    longitudes = slices.sums(photos.longitudes) / counts
    for k in np.flatnonzero(_reach_across_antimeridian(photos.longitudes, slices)):
        _, centre = cell_centres(slices.cell_ids[k : k + 1])
        offsets = photos.longitudes[slices.starts[k] : slices.stops[k]] - centre
        longitudes[k] = _wrapped(centre + _wrapped(offsets).mean())[0]
    return latitudes, longitudes


def _reach_across_antimeridian(longitudes: Degrees, slices: _Slices) -> npt.NDArray[np.bool_]:
    """Which slices hold longitudes more than half the globe apart: only there does unwrapping change the mean."""
    far_east, far_west = slices.sums((longitudes > 90).astype(float)), slices.sums((longitudes < -90).astype(float))
    return (far_east > 0) & (far_west > 0)


def _wrapped(longitudes: Degrees) -> Degrees:
    """Longitudes, or differences of two, in -180 to 180 degrees; those that are stay as they are, to the bit."""
    return np.where(np.abs(longitudes) > 180, longitudes - np.copysign(360, longitudes), longitudes)


def _means_on_the_sphere(photos: SortedPhotos, slices: _Slices) -> tuple[Degrees, Degrees]:
    """The direction of the sum of the unit vectors of each slice (a cube face can hold a pole)."""
    x, y, z = (slices.sums(values) for values in unit_vectors(photos.latitudes, photos.longitudes))
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


def _is_in(leaves: CellIds, some: CellIds) -> npt.NDArray[np.bool_]:
    """Which of the sorted leaves are among some few sorted ones."""
    marks = np.zeros(len(leaves) + 1, dtype=np.int8)
    marks[np.searchsorted(leaves, some, side="left")] += 1
    marks[np.searchsorted(leaves, some, side="right")] -= 1
    return np.cumsum(marks[:-1], dtype=np.int8) > 0
