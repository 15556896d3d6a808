"""Probability on the sphere: how much of a distribution over cells lies near a point.

Not here: where the distribution comes from (calibration.py) and what is made of it (decisions.py). The one idea: the
photos of a cell lie around their mean point, the farther the larger the cell; so a cell does not fall into a circle or
out of it as a whole, and a point between cells can be better than the middle of any.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from geo_pipeline.cells.cell_id import levels, parse_tokens
from geo_pipeline.cells.distance import EARTH_RADIUS_KM
from geo_pipeline.cells.leaf import unit_vectors
from geo_pipeline.model.geography import Partitioning

SPREAD_OF_EDGE = 1 / 7
"""Standard deviation of a cell's photos along an axis, in edges of the cell: half that of photos spread evenly.

Of 0 (all photos at the mean), 1/7, 2/7 and 4/7 it gave the best answers of `mass200` and the best Brier score of
confidences on the validation photos of the bundled world.
"""

_MOST_SPREADS = 6.0  # a normal variable is so far below its mean once in a thousand million
_ELEMENTS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class Places:
    """Around which means (`vectors`: float64[..., 3], on the unit sphere) and how far (`spreads_km`: float32[...])."""

    vectors: Tensor
    spreads_km: Tensor

    @classmethod
    def of(cls, partitioning: Partitioning, device: torch.device) -> Self:
        """Of the cells of a partitioning, by class label."""
        parts = unit_vectors(partitioning.latitudes, partitioning.longitudes)
        vectors = torch.stack([torch.from_numpy(part) for part in parts], dim=1)
        edges_km = EARTH_RADIUS_KM * math.sqrt(4 * math.pi / 6) / 2.0 ** levels(parse_tokens(partitioning.hex_ids))
        spreads_km = torch.from_numpy(SPREAD_OF_EDGE * edges_km).float()
        return cls(vectors.to(device), spreads_km.to(device))

    def __getitem__(self, labels: Tensor | slice) -> Places:
        """The places of some cells, in the shape of their labels."""
        return Places(self.vectors[labels], self.spreads_km[labels])


def mass_within(shares: Tensor, points: Tensor, cells: Places, radius_km: float) -> Tensor:
    """float32[n, k]: the probability within `radius_km` of each of k points.

    shares: float32[n, m], the probabilities of m cells; points: float64[n, k, 3] on the unit sphere; cells: m places,
    the same for all n, or [n, m]. Memory is bounded, whatever n. A cell at distance d whose photos spread by s along an
    axis has Φ((r - √(d² + s²)) / s) of them within r: the distance of photos from the point is nearly normal.
    """
    step = max(1, _ELEMENTS_AT_ONCE // max(1, points.shape[1] * shares.shape[1]))
    parts = [torch.empty((0, points.shape[1]), dtype=shares.dtype, device=shares.device)]
    for first in range(0, len(points), step):
        rows = slice(first, first + step)
        near = share_within(points[rows], cells if cells.spreads_km.dim() == 1 else cells[rows], radius_km)
        parts.append(torch.bmm(near, shares[rows, :, None])[:, :, 0])
    return torch.cat(parts).clamp(max=1.0)


def share_within(points: Tensor, cells: Places, radius_km: float) -> Tensor:
    """float32[n, k, m]: which share of each cell's photos lies within a radius of each point.

    Of cells too far away for a share that float32 could add to another it is 0; those are nearly all.
    """
    cosines = points @ cells.vectors.transpose(-1, -2)
    shares = torch.zeros(cosines.shape, dtype=cells.spreads_km.dtype, device=cosines.device)
    near = (cosines >= _least_cosines(cells.spreads_km, radius_km).unsqueeze(-2)).nonzero(as_tuple=True)
    distances_km = (EARTH_RADIUS_KM * cosines[near].clamp(-1, 1).acos()).float()
    spreads_km = cells.spreads_km.unsqueeze(-2).expand(cosines.shape)[near]
    shares[near] = torch.special.ndtr((radius_km - torch.hypot(distances_km, spreads_km)) / spreads_km)
    return shares


def _least_cosines(spreads_km: Tensor, radius_km: float) -> Tensor:
    """float64[...]: of the angle between a point and cells of which no share lies within the radius."""
    farthest_km = (radius_km + _MOST_SPREADS * spreads_km.double()).square() - spreads_km.double().square()
    return (farthest_km.sqrt() / EARTH_RADIUS_KM).clamp(max=math.pi).cos()
