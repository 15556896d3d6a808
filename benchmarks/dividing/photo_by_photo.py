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
    return [s2_leaf(*place) for place in places]


def s2_leaf(latitude: float, longitude: float) -> CellId:
    """The leaf of a place."""
    return CellId.from_lat_lng(LatLng.from_degrees(latitude, longitude))


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


def seconds_per_photo(
    places: Places, final_levels: Iterable[Sequence[int]], lvl_min: int, *, keeps_leaves: bool
) -> float:
    """What s2sphere takes for each photo, measured on a sample from a large set.

    final_levels: for each partitioning the level at which each photo comes to rest in the large set. Only the steps
    that are taken for every photo and level are done: the photo into its cell at each level, its leaf found anew each
    time (the usual way) or, kinder, once for all partitionings.
    """
    begun = time.perf_counter()
    leaves = s2_leaves(places) if keeps_leaves else []
    for levels in final_levels:
        cells: dict[CellId, list[int]] = defaultdict(list)
        for k, (place, deepest) in enumerate(zip(places, levels, strict=True)):
            for level in range(lvl_min, deepest + 1):
                leaf = leaves[k] if keeps_leaves else s2_leaf(*place)
                cells[leaf.parent(level)].append(k)
    return (time.perf_counter() - begun) / len(places)
