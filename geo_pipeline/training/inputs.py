"""Photos to train with, from tables of anybody's making.

Here lives reading a CSV or Parquet table of photos, and finding its pictures in shards. Not here: the tables of a
profile, whose assets have done this already. The one idea: a photo is joined to its picture by its id, and how many
were left after each step is told. It imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from geo_pipeline.errors import InputError
from geo_pipeline.shards.photo_reader import places_below
from geo_pipeline.store import read_table
from geo_pipeline.training.job import WHERE_STORED
from geo_pipeline.training.selection import Selection

ALIASES = {"photo_id": "IMG_ID", "latitude": "LAT", "longitude": "LON"}
"""Columns of a table of photos, and the names that they have in data sets and in what `assign-classes` writes."""

LIMITS = {"latitude": 90.0, "longitude": 180.0}
_SHOWN = 3


def read_photos(path: Path, partitionings: Sequence[str], shards: Path) -> pa.Table:
    """The downloaded and labelled photos of a table, as a training wants them, with their `Selection`.

    path: CSV or Parquet with `photo_id, latitude, longitude` (or `IMG_ID, LAT, LON`), a column of class labels for
    each partitioning, and perhaps `shard` (a path below `shards`), `offset`, `length`; without these each photo is
    looked up in the manifests below `shards`. Raises InputError naming file, row and column of what cannot be used,
    and if no photo is left, how many were after each filter.
    """
    table = _columns(path, partitionings)
    _require_sound(path, table)
    counts = {"listed": table.num_rows}
    table = table if "shard" in table.column_names else _located(table, shards)
    table = table.filter(pc.is_valid(table["shard"]))
    counts["downloaded"] = table.num_rows
    labels = [pc.is_valid(table[name]) for name in partitionings]
    table = table.filter(reduce(pc.or_, labels))
    counts["labelled"] = table.num_rows
    selection = Selection(counts)
    if not table.num_rows:
        raise InputError(f"{path}: no photo is left: {selection}; shards below {shards}, labels of {partitionings}")
    _require_shards(path, table, shards)
    return selection.attached_to(table)


def _columns(path: Path, partitionings: Sequence[str]) -> pa.Table:
    """The columns that a training reads, by our names and of our types."""
    table = _read_csv(path, partitionings) if path.suffix.lower() == ".csv" else read_table(path)
    named = {name: name if name in table.column_names else alias for name, alias in ALIASES.items()}
    named |= {name: name for name in partitionings}
    missing = [name for name, found in named.items() if found not in table.column_names]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(table.column_names)}. Expected photo_id, "
            "latitude, longitude (or IMG_ID, LAT, LON) and the class labels of each file of --cells in a column of "
            "the file's name, as assign-classes writes them"
        )
    if set(WHERE_STORED) <= set(table.column_names):
        named |= {name: name for name in WHERE_STORED}
    columns = {name: _cast(path, table[found], found, _type_of(name)) for name, found in named.items()}
    return pa.table(columns)


def _read_csv(path: Path, partitionings: Sequence[str]) -> pa.Table:
    """A CSV file with typed columns. Raises InputError naming the row of a value that is none of its type."""
    types = {name: _type_of(name) for name in (*ALIASES, *WHERE_STORED, *partitionings)}
    types |= {alias: types[name] for name, alias in ALIASES.items()}
    texts = csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""])
    try:
        return csv.read_csv(path, convert_options=texts)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such table of photos") from error
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a table of photos with class labels: {error}") from error


def _type_of(name: str) -> pa.DataType:
    if name in {"photo_id", "shard"}:
        return pa.string()
    return pa.float64() if name in LIMITS else pa.int64()


def _cast(path: Path, column: pa.ChunkedArray, name: str, wanted: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path}, column {name}: found {column.type}, expected {wanted}: {error}") from error


def _require_sound(path: Path, table: pa.Table) -> None:
    """Raise InputError naming the first rows (from 1, without the header) with an id or a coordinate that is none."""
    for name, limit in LIMITS.items():
        degrees = table[name].to_numpy()
        _refuse(path, table, name, ~(np.abs(degrees) <= limit), f"a number of degrees from -{limit:g} to {limit:g}")
    _refuse(path, table, "photo_id", pc.is_null(table["photo_id"]).to_numpy(), "an id")
    ids = table["photo_id"].combine_chunks()
    is_again = pc.index_in(ids, value_set=ids).to_numpy(zero_copy_only=False) != np.arange(len(ids))
    _refuse(path, table, "photo_id", is_again, "each id once")


def _refuse(path: Path, table: pa.Table, name: str, is_wrong: np.ndarray, expected: str) -> None:
    rows = np.flatnonzero(is_wrong)
    if len(rows):
        values = table[name].take(pa.array(rows[:_SHOWN])).to_pylist()
        found = ", ".join(f"row {row + 1}: {value}" for row, value in zip(rows[:_SHOWN], values, strict=True))
        raise InputError(f"{path}, column {name}: {len(rows):,} bad values ({found}); expected {expected}")


def _located(table: pa.Table, shards: Path) -> pa.Table:
    """The table with `shard, offset, length` of each photo, null where it is not stored."""
    places = places_below(shards)
    stored = places.filter(pc.is_valid(places["shard"]))
    row = pc.index_in(table["photo_id"].cast(pa.binary()), value_set=stored["photo_id"].combine_chunks())
    for name in WHERE_STORED:
        table = table.append_column(name, stored[name].take(row))
    return table


def _require_shards(path: Path, table: pa.Table, shards: Path) -> None:
    """Raise InputError naming the first shard that is not there."""
    names = sorted(pc.unique(table["shard"]).to_pylist())
    missing = [name for name in names if not (shards / name).is_file()]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(names)} shards are not below {shards}, the first one is {missing[0]}; "
            "give --shards the folder that the column `shard` starts from"
        )
