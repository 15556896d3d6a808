"""Probability on the sphere: how much of a distribution over cells lies near a point.

Not here: where the distribution comes from (calibration.py) and what is made of it (decisions.py). The one idea: the
probability of a cell is taken to lie at the mean point of its photos, and two points are within r of each other when
the product of their unit vectors is at least cos(r / R).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geo_pipeline.cells.distance import EARTH_RADIUS_KM
from geo_pipeline.cells.leaf import unit_vectors
from geo_pipeline.model.geography import Partitioning

_ELEMENTS_AT_ONCE = 1 << 22


def vectors_of(partitioning: Partitioning, device: torch.device) -> Tensor:
    """float64[classes, 3]: where on the unit sphere the mean points of a partitioning's cells lie."""
    parts = unit_vectors(partitioning.latitudes, partitioning.longitudes)
    return torch.stack([torch.from_numpy(part) for part in parts], dim=1).to(device)


def mass_within(distribution: Tensor, points: Tensor, cells: Tensor, radius_km: float) -> Tensor:
    """float32[n, k]: the probability within `radius_km` of each of k points.

    distribution: float32[n, classes], rows that sum to 1; points: float64[n, k, 3] and cells: float64[classes, 3] on
    the unit sphere. Memory is bounded, whatever n, k and the number of classes.
    """
    least = math.cos(min(radius_km / EARTH_RADIUS_KM, math.pi)) - 1e-15  # a cell is within 0 km of itself
    step = max(1, _ELEMENTS_AT_ONCE // (points.shape[1] * len(cells)))
    parts = [torch.empty((0, points.shape[1]), dtype=distribution.dtype, device=distribution.device)]
    for first in range(0, len(points), step):
        rows = slice(first, first + step)
        near = (points[rows] @ cells.T >= least).to(distribution.dtype)
        parts.append(torch.bmm(near, distribution[rows, :, None])[:, :, 0])
    return torch.cat(parts).clamp(max=1.0)
