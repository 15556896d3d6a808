"""Where the middle of each cell is: the means of its photos' coordinates.

Here lives the summing of coordinates over ranges of leaves, and the two kinds of mean. Not here: which cells there are
(partitioning.py). The one idea: the sums are exact (exact_sums.py), so neither the order of the photos nor the number
of threads changes a bit of a mean, and photos need not be moved to be summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo_pipeline.cells.assignment import ClassLabels
from geo_pipeline.cells.cell_id import CellIds, children, face_ids
from geo_pipeline.cells.exact_sums import ExactParts
from geo_pipeline.cells.geometry import cell_centres
from geo_pipeline.cells.leaf import Degrees, unit_vectors

Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]
"""[2 * quantities, ranges or cells]: for each quantity the sums of its coarse and of its fine parts."""

_LARGEST = 512.0  # degrees, of an unwrapped longitude
_QUARTER_SHIFT = np.uint64(59)  # leaves what tells the 24 cells of level 1 apart
_, _QUARTER_CENTRES = cell_centres(children(face_ids()))


@dataclass(frozen=True)
class Mean:
    """A kind of mean: what is summed of each photo (by leaf id and degrees), and the point that the sums lead to.

    There are two sums for each quantity, of its coarse and of its fine parts. `point` takes the sum of each quantity
    over the photos of each cell, and their number, and gives degrees.
    """

    num_sums: int
    quantities: Callable[[CellIds, Degrees, Degrees], tuple[Degrees, ...]]
    point: Callable[[Sums, Counts], tuple[Degrees, Degrees]]


def _degrees(leaf_ids: CellIds, latitudes: Degrees, longitudes: Degrees) -> tuple[Degrees, ...]:
    """Latitudes and unwrapped longitudes.

    No cell of level 1 or deeper reaches across the antimeridian or a pole: only photos exactly there can have a
    longitude far from the rest of their cell. So unwrapping around the centre of their cell of level 1 does for all.
    """
    offsets = longitudes - _QUARTER_CENTRES[(leaf_ids >> _QUARTER_SHIFT).astype(np.intp)]
    return latitudes, _nearer(longitudes, offsets)


def _mean_degrees(sums: Sums, counts: Counts) -> tuple[Degrees, Degrees]:
    latitudes, longitudes = sums / counts
    return latitudes, _nearer(longitudes, longitudes)


def _vectors(_: CellIds, latitudes: Degrees, longitudes: Degrees) -> tuple[Degrees, ...]:
    return unit_vectors(latitudes, longitudes)


def _direction(sums: Sums, _: Counts) -> tuple[Degrees, Degrees]:
    x, y, z = sums
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


MEAN_OF_DEGREES = Mean(4, _degrees, _mean_degrees)
"""Of latitudes and of longitudes, those unwrapped around the cell's centre: for cells of level 1 or deeper."""

MEAN_ON_THE_SPHERE = Mean(6, _vectors, _direction)
"""The direction of the sum of unit vectors: also for a cube face, which can hold a pole or the antimeridian."""


def parts_for(most_photos: int) -> ExactParts:
    """How to split quantities that are summed over cells of up to `most_photos` photos."""
    return ExactParts.for_sums(largest=_LARGEST, num_terms=most_photos)


def add_up(sums: Sums, quantities: Sequence[Degrees], parts: ExactParts, groups: npt.NDArray[np.int64]) -> None:
    """Add what photos have of some quantities to the sums of their groups."""
    split = (part for values in quantities for part in parts.of(values))
    for k, part in enumerate(split):
        sums[k] += np.bincount(groups, weights=part, minlength=len(sums[k]))


def points_of(mean: Mean, sums: Sums, labels_of_ranges: ClassLabels, counts: Counts) -> tuple[Degrees, Degrees]:
    """The mean points of the cells of a partitioning, by the sums over ranges and the label of each range."""
    inside = labels_of_ranges >= 0
    labels = labels_of_ranges[inside]
    of_cells = np.zeros((mean.num_sums, len(counts)))
    for k, of_ranges in enumerate(sums[:, inside]):
        of_cells[k] = np.bincount(labels, weights=of_ranges, minlength=len(counts))
    return mean.point(of_cells[::2] + of_cells[1::2], counts)


def _nearer(longitudes: Degrees, offsets: Degrees) -> Degrees:
    """The longitudes, but those whose offset is beyond ±180 degrees once around the earth the other way."""
    return np.where(np.abs(offsets) > 180, longitudes - np.copysign(360, offsets), longitudes)
