"""The usual way: s2sphere for each photo and each level, in plain Python. The peer of `cells.py`, and its oracle."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from s2sphere import CellId, LatLng

from geo_pipeline.cells.settings import PartitioningSettings

Places = Sequence[tuple[float, float]]


def s2_leaves(places: Places) -> list[CellId]:
    """The leaf of each latitude and longitude."""
    return [CellId.from_lat_lng(LatLng.from_degrees(*place)) for place in places]


def photos_of_cells(leaves: Sequence[CellId], settings: PartitioningSettings) -> dict[CellId, list[int]]:
    """The kept cells with the indices of the photos in each: photos move down a level at a time."""
    open_cells: dict[CellId, list[int]] = defaultdict(list)
    for k, leaf in enumerate(leaves):
        open_cells[leaf.parent(settings.lvl_min)].append(k)
    kept: dict[CellId, list[int]] = {}
    while open_cells:
        cell, photos = open_cells.popitem()
        if len(photos) > settings.img_max and cell.level() < settings.lvl_max:
            for k in photos:
                open_cells[leaves[k].parent(cell.level() + 1)].append(k)
        elif len(photos) > settings.img_min:
            kept[cell] = photos
    return kept


def seconds_per_photo(places: Places, final_levels: Iterable[Sequence[int]], lvl_min: int) -> float:
    """What the usual way takes for each photo, measured on a sample from a large set.

    final_levels: for each partitioning the level at which each photo comes to rest in the large set. Only the steps
    that are taken for every photo and level are done: the leaf, once; the photo into its cell at each level.
    """
    begun = time.perf_counter()
    leaves = s2_leaves(places)
    for levels in final_levels:
        cells: dict[CellId, list[int]] = defaultdict(list)
        for k, (leaf, deepest) in enumerate(zip(leaves, levels, strict=True)):
            for level in range(lvl_min, deepest + 1):
                cells[leaf.parent(level)].append(k)
    return (time.perf_counter() - begun) / len(leaves)
