"""Many photos out of few real places: each one beside a place that is drawn at random, seeded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from geo_pipeline.cells.leaf import Degrees

JITTER_DEGREES = 0.01  # about a kilometre
_BLOCK = 1_000_000  # photos drawn at once
_SCHEMA = pa.schema([("IMG_ID", pa.string()), ("LAT", pa.float64()), ("LON", pa.float64())])


def read_places(path: Path) -> tuple[Degrees, Degrees]:
    """The columns LAT and LON of a CSV file."""
    table = csv.read_csv(path)
    return table["LAT"].to_numpy(), table["LON"].to_numpy()


def photos_beside(places: tuple[Degrees, Degrees], num_photos: int, seed: int = 0) -> tuple[Degrees, Degrees]:
    """Latitudes and longitudes of so many photos."""
    latitudes, longitudes = np.empty(num_photos), np.empty(num_photos)
    rng = np.random.default_rng(seed)
    for start in range(0, num_photos, _BLOCK):
        block = slice(start, min(start + _BLOCK, num_photos))
        chosen = rng.integers(0, len(places[0]), block.stop - start)
        latitudes[block] = np.clip(places[0][chosen] + rng.normal(0, JITTER_DEGREES, len(chosen)), -90, 90)
        shifted = places[1][chosen] + rng.normal(0, JITTER_DEGREES, len(chosen))
        longitudes[block] = (shifted + 180) % 360 - 180
    return latitudes, longitudes


def write_photos(path: Path, places: tuple[Degrees, Degrees], num_photos: int) -> None:
    """A data set of so many photos, as Parquet or CSV by the path's ending."""
    if path.suffix == ".parquet":
        with pq.ParquetWriter(path, _SCHEMA) as parquet:
            for table in _tables(places, num_photos):
                parquet.write_table(table)
    else:
        with csv.CSVWriter(path, _SCHEMA) as text:
            for table in _tables(places, num_photos):
                text.write_table(table)


def _tables(places: tuple[Degrees, Degrees], num_photos: int) -> Iterator[pa.Table]:
    """Blocks of ids as MP-16 has them, latitudes and longitudes."""
    latitudes, longitudes = photos_beside(places, num_photos)
    for start in range(0, num_photos, _BLOCK):
        block = slice(start, min(start + _BLOCK, num_photos))
        ids = [f"{k % 256:02x}/{k // 256 % 256:02x}/{4_000_000_000 + k}.jpg" for k in range(start, block.stop)]
        yield pa.table([ids, latitudes[block], longitudes[block]], schema=_SCHEMA)
