"""Holding photos out of a training list for validation and for a benchmark, so that places stay apart.

Here lives which photos; not the files they are written to (first_profile.py). The one idea: whole S2 cells are held
out, chosen by a hash of the cell, and whatever lies within 25 km of a benchmark photo is neither trained on nor
validated with: else most of a random test set would repeat places of the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from geo_pipeline.cells.distance import EARTH_RADIUS_KM
from geo_pipeline.cells.leaf import Degrees, leaf_ids, unit_vectors
from geo_pipeline.cells.settings import MAX_LEVEL
from geo_pipeline.errors import InputError
from geo_pipeline.photos.url_lists import id_hashes

HELD_OUT_LEVEL = 7
"""S2 level of the cells that are held out: about 70 km wide. Smaller ones would have more border than inside."""

BORDER_KM = 25.0
"""No benchmark photo is so near to a photo of another set."""

_CELLS_AT_LEAST = 10
"""A held-out set comes from so many cells or more: a cell with a greater share of it stays in training."""

_PER_AXIS = 1 << 10


class Share(IntEnum):
    """Where a photo of a divided list goes; the border goes nowhere."""

    TRAIN = 0
    VALIDATION = 1
    BENCHMARK = 2
    BORDER = 3


Shares = npt.NDArray[np.int8]


def hold_out(
    latitudes: Degrees, longitudes: Degrees, counted: npt.NDArray[np.bool_], wanted: Mapping[Share, int]
) -> Shares:
    """The share of each photo: int8[n].

    latitudes, longitudes: float64[n], degrees; `counted`: bool[n], the photos that can be had. Of these about `wanted`
    go to each set: cells in the order of the hash of their id, until there are enough. The order of the photos
    changes nothing. Raises InputError where the photos lie too close together for that.
    """
    cells, cell_of = np.unique(_cell_numbers(latitudes, longitudes), return_inverse=True)
    counts = np.bincount(cell_of[counted], minlength=len(cells))
    share_of_cell = np.full(len(cells), Share.TRAIN, dtype=np.int8)
    order = np.argsort(id_hashes([f"{HELD_OUT_LEVEL}/{cell}" for cell in cells.tolist()]), kind="stable")
    for share, number in wanted.items():
        free = order[(share_of_cell[order] == Share.TRAIN) & (counts[order] > 0)]
        share_of_cell[_choose(free, counts, number)] = share
    shares: Shares = share_of_cell[cell_of]
    _mark_border(latitudes, longitudes, shares)
    _refuse_crowded(shares[counted], wanted, len(cells))
    return shares


def close_pairs(
    few: tuple[Degrees, Degrees], many: tuple[Degrees, Degrees], km: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which of `few` have one of `many` within `km` (bool[few]), and the other way round (bool[many]).

    Both are latitudes and longitudes, float64, degrees. Space is cut into cubes of that width, so that only the
    neighbours of each of the few are looked at.
    """
    near_few, near_many = np.zeros(len(few[0]), dtype=bool), np.zeros(len(many[0]), dtype=bool)
    few_vectors, many_vectors = (np.stack(unit_vectors(*places), axis=1) for places in (few, many))
    width = km / EARTH_RADIUS_KM
    keys = _cube_keys(many_vectors, width)
    order = np.argsort(keys, kind="stable")
    keys, many_vectors = keys[order], many_vectors[order]
    columns = _cube_keys(few_vectors, width)[:, None] + _NEIGHBOUR_COLUMNS[None, :]
    starts = np.searchsorted(keys, columns - 1, side="left").tolist()
    stops = np.searchsorted(keys, columns + 1, side="right").tolist()
    for i, vector in enumerate(few_vectors):
        for start, stop in zip(starts[i], stops[i], strict=True):
            hits = many_vectors[start:stop] @ vector >= np.cos(width)
            near_many[order[start:stop]] |= hits
            near_few[i] |= hits.any()
    return near_few, near_many


def _cube_keys(vectors: npt.NDArray[np.float64], width: float) -> npt.NDArray[np.int64]:
    """The cube of each point of the unit sphere as one number; the three in a column along z follow each other."""
    x, y, z = np.floor((vectors + 1) / max(width, 4 / _PER_AXIS)).astype(np.int64).T + 1
    keys: npt.NDArray[np.int64] = (x * _PER_AXIS + y) * _PER_AXIS + z
    return keys


_NEIGHBOUR_COLUMNS = np.array([(x * _PER_AXIS + y) * _PER_AXIS for x in (-1, 0, 1) for y in (-1, 0, 1)])


def _cell_numbers(latitudes: Degrees, longitudes: Degrees) -> npt.NDArray[np.uint64]:
    """A number for the cell of HELD_OUT_LEVEL that contains each photo: the digits of its leaf down to that level."""
    numbers: npt.NDArray[np.uint64] = leaf_ids(latitudes, longitudes) >> np.uint64(2 * (MAX_LEVEL - HELD_OUT_LEVEL) + 1)
    return numbers


def _choose(cells: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], number: int) -> npt.NDArray[np.int64]:
    """The first of some cells, in their order, until they hold `number` photos; none that holds a great share."""
    if not len(cells):
        return cells
    most = max(number // _CELLS_AT_LEAST, int(np.median(counts[cells])))
    small = cells[counts[cells] <= most]
    before = np.cumsum(counts[small]) - counts[small]
    return small[before < number]


def _mark_border(latitudes: Degrees, longitudes: Degrees, shares: Shares) -> None:
    """Make every other photo within BORDER_KM of a benchmark photo part of the border."""
    benchmark, others = np.flatnonzero(shares == Share.BENCHMARK), np.flatnonzero(shares != Share.BENCHMARK)
    if not len(benchmark):
        return
    _, places = np.unique(np.stack([latitudes[benchmark], longitudes[benchmark]]), axis=1, return_index=True)
    few, many = benchmark[places], others
    _, near = close_pairs((latitudes[few], longitudes[few]), (latitudes[many], longitudes[many]), BORDER_KM)
    shares[others[near]] = Share.BORDER


def _refuse_crowded(shares: Shares, wanted: Mapping[Share, int], num_cells: int) -> None:
    """Raise InputError if a set is empty or most of the training photos would be lost."""
    sizes = np.bincount(shares, minlength=len(Share))
    if sizes[Share.TRAIN] * 2 < len(shares) or any(sizes[share] == 0 for share in wanted):
        names = " and ".join(share.name.lower() for share in wanted)
        raise InputError(
            f"the {len(shares)} photos lie in {num_cells} S2 cells of level {HELD_OUT_LEVEL} (about 70 km wide): too "
            f"close together to hold out places for {names} that are {BORDER_KM:g} km from the others; give lists of "
            "your own for these sets (--validation-url-csv, --validation-metadata-csv, --benchmark-url-csv, "
            "--benchmark-metadata-csv)"
        )
