"""Accuracy by groups of photos: continents, scenes, places with many training photos near.

Here live the shares of each group with their intervals. Not here: what group a photo is in (surroundings.py), figures
(charts.py). The one idea: a group's numbers come with how many photos are behind them, because many groups are small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.evaluation.bootstrap import interval_over_photos
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline.evaluation.surroundings import NEAR_KM, names_by_number


@dataclass(frozen=True)
class GroupAccuracy:
    """The answers for one group of photos. `shares`: percent and the ends of its 95 % interval, by radius in km."""

    name: str
    num_photos: int
    median_km: float
    shares: Mapping[int, tuple[float, float, float]]


@dataclass(frozen=True)
class Breakdown:
    """The same photos in one division into groups."""

    title: str
    groups: Sequence[GroupAccuracy]


def breakdowns(answers: pa.Table, surroundings: pa.Table, radii_km: Sequence[int]) -> list[Breakdown]:
    """Accuracy by continent, by scene where scenes are known, and by the number of training photos near.

    answers: `photo_id, distance_km`, one row for each photo of one benchmark, model and head; surroundings: the table
    of that name, of the same benchmark. A photo that it lacks is in no group.
    """
    found = pc.index_in(answers["photo_id"], surroundings["photo_id"].combine_chunks())
    known = pc.is_valid(found)
    rows, distances = surroundings.take(found.filter(known)), answers["distance_km"].filter(known).to_numpy()
    numbers = rows["num_training_near"].to_numpy()
    near = names_by_number(numbers.tolist())
    by_number = dict(sorted(zip(near, numbers.tolist(), strict=True), key=lambda pair: pair[1]))
    divisions = {
        "By continent": (rows["continent"].to_pylist(), None),
        "By scene": (rows["scene"].to_pylist(), None),
        f"By training photos within {NEAR_KM:.0f} km": (near, list(by_number)),
    }
    made = [Breakdown(title, list(_groups(*each, distances, radii_km))) for title, each in divisions.items()]
    return [each for each in made if each.groups]


def _groups(
    names: Sequence[str | None],
    order: Sequence[str] | None,
    distances_km: npt.NDArray[np.float64],
    radii_km: Sequence[int],
) -> Iterator[GroupAccuracy]:
    """The groups in an order, else the largest first. names: of each photo's group, None for a photo that has none."""
    of_photo = np.array([name or "" for name in names], dtype=str)
    present, counts = np.unique(of_photo[of_photo != ""], return_counts=True)
    largest_first = [str(name) for _, name in sorted(zip(-counts, present, strict=True))]
    for name in order or largest_first:
        within = distances_km[of_photo == name]
        shares = {radius: _share(int((within <= radius).sum()), len(within)) for radius in radii_km}
        yield GroupAccuracy(name, len(within), float(np.median(within)), shares)


def _share(hits: int, photos: int) -> tuple[float, float, float]:
    """Percent of hits, and the ends of its interval as in the accuracy table."""
    settings = EvaluationSettings()
    interval = interval_over_photos(hits, photos, samples=settings.bootstrap_samples, seed=settings.seed)
    return (100 * hits / photos, *interval)
