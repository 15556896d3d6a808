"""What is known about the place and the content of a photo, apart from any answer: by what accuracy is broken down.

Here live the continent, the most probable scene and the number of training photos near. Not here: the outlines
(continents.py), the shares (breakdown.py). The one idea: all of it is known without the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.cells.distance import EARTH_RADIUS_KM
from geo_pipeline.cells.leaf import unit_vectors
from geo_pipeline.evaluation.continents import continents_of

NEAR_KM = 200.0
"""A training photo within this distance is near: the radius of a region in the accuracy table."""

_PROBABILITY = "probability_"
_KM_PER_DEGREE = EARTH_RADIUS_KM * np.pi / 180

Degrees = npt.NDArray[np.float64]


def surroundings(benchmark: str, photos: pa.Table, training: pa.Table) -> pa.Table:
    """`benchmark, photo_id, continent, scene, num_training_near`, a row for each photo.

    photos: `photo_id, latitude, longitude`, degrees, and `probability_<scene>` for each scene; training: `latitude,
    longitude` of the photos that the model was trained on. `scene` is null where no probability is known.
    """
    latitudes, longitudes = (photos[name].to_numpy() for name in ("latitude", "longitude"))
    places = (training[name].to_numpy() for name in ("latitude", "longitude"))
    return pa.table(
        {
            "benchmark": pa.repeat(benchmark, photos.num_rows),
            "photo_id": photos["photo_id"],
            "continent": pa.array(continents_of(latitudes, longitudes), pa.string()),
            "scene": pa.array(most_probable_scenes(photos), pa.string()),
            "num_training_near": num_near(latitudes, longitudes, *places),
        }
    )


def most_probable_scenes(photos: pa.Table) -> list[str | None]:
    """The scene of the highest `probability_<scene>` of each row, the first one of equals; None without any."""
    columns = [name for name in photos.column_names if name.startswith(_PROBABILITY)]
    if not columns or not photos.num_rows:
        return [None] * photos.num_rows
    values = np.column_stack([photos[name].to_numpy().astype(np.float64) for name in columns])
    known = ~np.isnan(values).all(axis=1)
    best = np.where(np.isnan(values), -np.inf, values).argmax(axis=1)
    names = [name.removeprefix(_PROBABILITY) for name in columns]
    return [names[k] if is_known else None for k, is_known in zip(best.tolist(), known.tolist(), strict=True)]


def num_near(
    latitudes: Degrees, longitudes: Degrees, others_lat: Degrees, others_lng: Degrees, radius_km: float = NEAR_KM
) -> npt.NDArray[np.int64]:
    """How many of the other places lie within a radius of each place, int64[n].

    Coordinates in degrees. Others are looked at in a band of latitudes only: 5 million of them and 3,000 places take
    seconds, in memory for one copy of the others.
    """
    order = np.argsort(others_lat, kind="stable")
    sorted_lat = others_lat[order]
    x, y, z = unit_vectors(sorted_lat, others_lng[order])
    reach = radius_km / _KM_PER_DEGREE
    firsts = np.searchsorted(sorted_lat, latitudes - reach * (1 + 1e-9), side="left")
    lasts = np.searchsorted(sorted_lat, latitudes + reach * (1 + 1e-9), side="right")
    longest_chord = 2 * np.sin(min(radius_km / EARTH_RADIUS_KM, np.pi) / 2)
    counts = np.zeros(len(latitudes), dtype=np.int64)
    for k, (a, b, c) in enumerate(np.stack(unit_vectors(latitudes, longitudes), axis=-1).tolist()):
        band = slice(firsts[k], lasts[k])
        squares = (x[band] - a) ** 2 + (y[band] - b) ** 2 + (z[band] - c) ** 2
        counts[k] = np.count_nonzero(squares <= longest_chord**2)
    return counts


def names_by_number(numbers: Sequence[int]) -> list[str]:
    """A group of each number by powers of ten: `none`, `1 to 9`, `10 to 99`, ..."""
    return [_power_of_ten(number) for number in numbers]


def _power_of_ten(number: int) -> str:
    if number == 0:
        return "none"
    least = 10 ** (len(str(number)) - 1)
    return f"{least:,} to {10 * least - 1:,}"
