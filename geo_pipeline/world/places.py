"""Places: which real coordinates the bundled world uses, and for which photo set.

Here lives the choice of places from a table of MP-16 coordinates, and the reading and writing of the chosen sample.
What is seen at a place is `views`; names of photos are `lists`. The one idea: benchmark places are drawn first, as
they come, and every other place near one of them is dropped before training and validation places are drawn; MP-16
is so dense that otherwise two thirds of a benchmark would repeat a training place.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geo_pipeline.errors import InputError
from geo_pipeline.store import write_text
from geo_pipeline.world.photo_sets import PHOTO_SETS, PhotoSet

Coordinates = npt.NDArray[np.float64]
"""float64[n, 2]: latitude and longitude in degrees."""

APART_KM = 25.25
"""No training or validation place is nearer to a benchmark place. 1 % more than the rule's 25 km on a sphere
(R = 6371 km), so that the rule holds on the WGS84 ellipsoid as well."""

_EARTH_RADIUS_KM = 6371.0
_SEED = 16_2018
_DECIMALS = 5
_HEADER = ["PHOTO_SET", "LAT", "LON"]


def choose_places(coordinates: Coordinates, photo_sets: tuple[PhotoSet, ...] = PHOTO_SETS) -> dict[str, Coordinates]:
    """Draw the places of each photo set, all different (to 5 decimals), in a seeded random order.

    The answer does not depend on the order of `coordinates` or on repetitions in it. Raises InputError where too few
    places are left.
    """
    distinct = np.unique(coordinates.round(_DECIMALS), axis=0)
    pool = np.random.default_rng(_SEED).permutation(distinct)
    chosen: dict[str, Coordinates] = {}
    for photo_set in (one for one in photo_sets if one.benchmark):
        chosen[photo_set.name], pool = _take(pool, photo_set)
    if chosen:
        pool = pool[distance_to_nearest_km(pool, np.concatenate(list(chosen.values()))) > APART_KM]
    for photo_set in (one for one in photo_sets if not one.benchmark):
        chosen[photo_set.name], pool = _take(pool, photo_set)
    return chosen


def _take(pool: Coordinates, photo_set: PhotoSet) -> tuple[Coordinates, Coordinates]:
    """The first places of the pool for a photo set, and the rest."""
    if len(pool) < photo_set.num_photos:
        raise InputError(
            f"{photo_set.name}: {len(pool)} places are left, {photo_set.num_photos} are needed; give more coordinates"
        )
    return pool[: photo_set.num_photos], pool[photo_set.num_photos :]


def distance_to_nearest_km(places: Coordinates, others: Coordinates) -> npt.NDArray[np.float64]:
    """float64[len(places)]: great-circle distance from each place to the nearest of `others`, R = 6371 km.

    From the chord between unit vectors, with the cosine from one matrix product for each block of places: good to
    some decimetres, which is plenty for a rule in kilometres.
    """
    towards = _unit_vectors(others).T
    blocks = np.array_split(_unit_vectors(places), len(places) // 1000 + 1)
    cosines = np.concatenate([(block @ towards).max(axis=1, initial=-1.0) for block in blocks])
    return 2.0 * _EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip((1.0 - cosines) / 2.0, 0.0, 1.0)))


def _unit_vectors(places: Coordinates) -> npt.NDArray[np.float64]:
    """float64[n, 3]: the places as points of the unit sphere."""
    latitudes, longitudes = np.radians(places).T
    return np.stack(
        [np.cos(latitudes) * np.cos(longitudes), np.cos(latitudes) * np.sin(longitudes), np.sin(latitudes)], axis=1
    )


def read_coordinates(path: Path) -> Coordinates:
    """Coordinates from a CSV with the columns LAT and LON. Raises InputError naming the file and the row."""
    return np.array([place for _, place in _rows(path, _HEADER[1:])], dtype=np.float64).reshape(-1, 2)


def read_places(path: Path) -> dict[str, Coordinates]:
    """The chosen sample: places for each photo set, in the file's order. Raises InputError naming file and row."""
    places: dict[str, list[tuple[float, float]]] = {}
    for row, place in _rows(path, _HEADER):
        places.setdefault(row["PHOTO_SET"], []).append(place)
    return {name: np.array(points, dtype=np.float64) for name, points in places.items()}


def write_places(path: Path, places: Mapping[str, Coordinates]) -> None:
    """Write the chosen sample as CSV: PHOTO_SET, LAT, LON."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_HEADER)
    for name, points in places.items():
        rows.writerows((name, latitude, longitude) for latitude, longitude in points.tolist())
    write_text(path, text.getvalue())


def _rows(path: Path, columns: list[str]) -> list[tuple[dict[str, str], tuple[float, float]]]:
    """The rows of a CSV that has at least `columns`, each with its latitude and longitude."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if not set(columns) <= set(reader.fieldnames or ()):
                raise InputError(f"{path}: columns {reader.fieldnames} found, {columns} expected")
            return [(row, _place(path, reader.line_num, row)) for row in reader]
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; a CSV with the columns {','.join(columns)} is expected") from error


def _place(path: Path, line: int, row: dict[str, str]) -> tuple[float, float]:
    """The coordinate of one row, checked."""
    try:
        latitude, longitude = float(row["LAT"]), float(row["LON"])
    except (TypeError, ValueError):
        latitude = longitude = float("nan")
    if not (-90.0 <= latitude <= 90.0 and -180.0 <= longitude <= 180.0):
        raise InputError(
            f"{path}, line {line}: LAT {row['LAT']!r}, LON {row['LON']!r} found, degrees within ±90 and ±180 expected; "
            "mend or remove the row"
        )
    return latitude, longitude
