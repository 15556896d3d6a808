"""What a first profile suggests: buckets, partitionings, training config, tolerance.

Pure functions of what was counted. The one idea: the paper's numbers where there are as many photos as in the paper,
and the same proportions further down, each measured on the real coordinates before it is suggested.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from geo_pipeline.cells.cell_id import CellIds
from geo_pipeline.cells.leaf import Degrees, leaf_ids
from geo_pipeline.cells.partitioning import keep_cells
from geo_pipeline.cells.settings import PartitioningSettings

PHOTOS_PER_BUCKET = 60_000
MANY_PHOTOS = 100_000
"""From so many training photos on a ResNet-50 is worth its time."""

MOST_REJECTED_PERCENT = 5.0
"""More bad rows than that are no tolerance but a wrong file."""

_LEAST_PERCENT = 0.01

_LADDER = (
    (50, 5000, 2000, 1000),  # the paper's, for 4.7 million photos
    (20, 2000, 800, 400),
    (10, 1000, 300, 100),
    (5, 800, 200, 50),
    (2, 400, 100, 20),
    (1, 100, 30, 8),
    (0, 30, 10, 3),
)
"""img_min of all and img_max of coarse, middle, fine, from many photos to few."""

_CELLS_PER_ROOT = 3.0
"""Fine cells wanted, times the root of the number of photos: the paper has 5.9, the bundled world 12."""


@dataclass(frozen=True)
class SuggestedPartitioning:
    """A partitioning and what it makes of the training photos."""

    settings: PartitioningSettings
    num_cells: int
    percent_without_class: float


def suggest_partitionings(latitudes: Degrees, longitudes: Degrees) -> dict[str, SuggestedPartitioning]:
    """Coarse, middle and fine for the training photos (float64[n], degrees).

    The first step of the ladder whose fine partitioning has enough cells, else its last one.
    """
    leaves = np.sort(leaf_ids(latitudes, longitudes))
    enough = _CELLS_PER_ROOT * math.sqrt(len(latitudes))
    for img_min, *img_max in _LADDER[:-1]:
        fine = _measured(leaves, PartitioningSettings(img_min=img_min, img_max=img_max[-1]))
        if fine.num_cells >= enough:
            break
    else:
        img_min, *img_max = _LADDER[-1]
    each = (PartitioningSettings(img_min=img_min, img_max=most) for most in img_max)
    return {
        name: _measured(leaves, settings) for name, settings in zip(("coarse", "middle", "fine"), each, strict=True)
    }


def _measured(sorted_leaf_ids: CellIds, settings: PartitioningSettings) -> SuggestedPartitioning:
    """What a partitioning makes of the photos."""
    kept = keep_cells(sorted_leaf_ids, settings)
    share = float(kept.imgs_per_cell.sum() / len(sorted_leaf_ids))
    return SuggestedPartitioning(settings, len(kept.cell_ids), 100.0 * (1 - share))


def suggest_buckets(num_photos: Mapping[str, int], most: int) -> dict[str, int]:
    """Buckets of each photo set: of about PHOTOS_PER_BUCKET photos, larger ones if there would be more than `most`."""
    per_bucket = float(PHOTOS_PER_BUCKET)
    while True:
        buckets = {name: max(1, math.ceil(number / per_bucket)) for name, number in num_photos.items()}
        if sum(buckets.values()) <= most:
            return buckets
        per_bucket *= 1.1


SCENE_CONFIGS: Mapping[str, str] = MappingProxyType({"baseM.yml": "isn.yml", "world.yml": "world_isn.yml"})
"""For each training config that is suggested the one of its scene networks."""


def suggest_training_config(num_photos: int) -> str:
    """The file in resources/training/ for so many training photos."""
    return "baseM.yml" if num_photos >= MANY_PHOTOS else "world.yml"


def suggest_tolerance(seen_percent: float) -> float:
    """`checks.max_rejected_percent`: what was seen, rounded up to one digit; never more than MOST_REJECTED_PERCENT."""
    if seen_percent <= _LEAST_PERCENT:
        return _LEAST_PERCENT if seen_percent else 0.0
    step = 10.0 ** math.floor(math.log10(seen_percent))
    rounded = round(math.ceil(round(seen_percent / step, 6)) * step, 12)
    return min(rounded, MOST_REJECTED_PERCENT)
