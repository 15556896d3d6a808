"""Answers that are areas: an S2 cell no smaller than asked for, in place of a point.

Here lives the choice between cells of the size of a city, a region and a country. Not here: points (decisions.py). The
one idea: the larger an area, the more probable it is, so the answer is the smallest permitted one that is probable
enough, and nothing where none is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from geo_pipeline.cells.cell_id import CellIds, levels, parse_tokens, tokens
from geo_pipeline.cells.geometry import cell_centres
from geo_pipeline.cells.settings import MAX_LEVEL
from geo_pipeline.model.calibration import Beliefs
from geo_pipeline.model.geography import HIERARCHY, Geography

LEVELS: Mapping[str, int] = MappingProxyType({"city": 8, "region": 5, "country": 3})
"""S2 levels by name; their cells have edges of about 36, 290 and 1,160 km."""

RADII_KM: Mapping[str, int] = MappingProxyType({"city": 25, "region": 200, "country": 750})
"""The circles that are about as large as these cells: the words of the papers' tables."""

NUM_RANKED = 5


@dataclass(frozen=True)
class Area:
    """The name of its size, its S2 token, its middle in degrees, and the probability that the photo is from there."""

    precision: str
    token: str
    latitude: float
    longitude: float
    probability: float


@dataclass(frozen=True)
class _Division:
    """The cells of one level in which there are fine cells, and for each fine cell the index of its own."""

    precision: str
    cell_ids: CellIds
    of_fine_cell: Tensor


class Areas:
    """Areas for the photos that a network of some geography has seen.

    `max_precision`: a key of `LEVELS`, the finest permitted. A fine cell that is larger than the area is one itself.
    """

    def __init__(self, geography: Geography, max_precision: str, device: torch.device) -> None:
        finest = parse_tokens(geography.partitioning_of(HIERARCHY).hex_ids)
        names = list(LEVELS)[list(LEVELS).index(max_precision) :]
        self._divisions = [_division(name, finest, device) for name in names]

    def decide(self, beliefs: Beliefs, floor: float) -> list[Sequence[Area]]:
        """For each photo the most probable areas (`NUM_RANKED`), best first, of the smallest permitted size that does.

        A size does if the probability of its best area reaches the floor, 0 to 1; no area where none does.
        """
        answers: list[Sequence[Area]] = [() for _ in beliefs.scores[HIERARCHY]]
        for division in self._divisions:
            rows = [row for row, answer in enumerate(answers) if not answer]
            distribution = beliefs.within(RADII_KM[division.precision])[rows]
            for row, ranked in zip(rows, _most_probable(division, distribution), strict=True):
                answers[row] = ranked if ranked[0].probability >= floor else ()
        return answers


def enclosing_cells(cell_ids: CellIds, level: int) -> CellIds:
    """The ancestor-or-self of each cell at a level; a cell that is larger stays as it is."""
    lowest = np.uint64(1) << np.uint64(2 * (MAX_LEVEL - level))
    return np.where(levels(cell_ids) > level, (cell_ids & ~(lowest - np.uint64(1))) | lowest, cell_ids)


def _division(precision: str, finest: CellIds, device: torch.device) -> _Division:
    cell_ids, inverse = np.unique(enclosing_cells(finest, LEVELS[precision]), return_inverse=True)
    return _Division(precision, cell_ids, torch.from_numpy(inverse.astype(np.int64)).to(device))


def _most_probable(division: _Division, distribution: Tensor) -> list[Sequence[Area]]:
    """The most probable cells of a division for each photo, best first."""
    sums = distribution.new_zeros((len(distribution), len(division.cell_ids)))
    sums.index_add_(1, division.of_fine_cell, distribution)
    best, chosen = sums.topk(min(NUM_RANKED, len(division.cell_ids)), dim=1)
    ids = division.cell_ids[chosen.cpu().numpy()].ravel()
    columns = tokens(ids), *(part.tolist() for part in cell_centres(ids)), best.clamp(max=1.0).ravel().tolist()
    areas = [Area(division.precision, *row) for row in zip(*columns, strict=True)]
    ranked = best.shape[1]
    return [areas[first : first + ranked] for first in range(0, len(areas), ranked)]
