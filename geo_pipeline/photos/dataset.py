"""A data set: a CSV or Parquet file of any length whose rows have a photo's id, latitude and longitude.

Here lives reading one, as arrays of coordinates or part by part. Not here: what makes a coordinate (numbers.py) and
the metadata of a profile's photo sets (metadata.py). The one idea: Arrow parses the numbers; only where that finds
something wrong is the file read again, carefully, to tell of each bad row as it stands there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from geo_pipeline.errors import InputError
from geo_pipeline.photos.csv_rows import iterate_csv_rows, read_first_row
from geo_pipeline.photos.numbers import LATITUDES, LONGITUDES, numbers_of, reasons, within
from geo_pipeline.photos.rejects import FIRST_REJECTS, Reject, refusal

Degrees = npt.NDArray[np.float64]

ENDINGS = (".csv", ".parquet")
PHOTO_ID = "IMG_ID"
_BLOCK_BYTES = 16_000_000
_BATCH_ROWS = 1 << 18
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_NUMBERS = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_null)


@dataclass(frozen=True)
class Columns:
    """The names of the columns in the file; `photo_id` is None where a file without ids will do."""

    photo_id: str | None = PHOTO_ID
    latitude: str = "LAT"
    longitude: str = "LON"

    @property
    def names(self) -> list[str]:
        """The columns that the file must have."""
        return [name for name in (self.photo_id, self.latitude, self.longitude) if name is not None]


@dataclass(frozen=True)
class Part:
    """Some usable rows in the order of the file.

    `given`: the three columns as they stand there, text in CSV; `latitudes`, `longitudes`: float64[n], degrees.
    """

    given: pa.Table
    latitudes: Degrees
    longitudes: Degrees


@dataclass(frozen=True)
class _Rows:
    """Some rows of the file: `numbers`: int64[n], from 1, in CSV with the header; `values`: the columns asked for."""

    numbers: npt.NDArray[np.int64]
    values: pa.Table

    def where(self, chosen: npt.NDArray[np.bool_]) -> _Rows:
        """The chosen ones."""
        return _Rows(self.numbers[chosen], self.values.filter(pa.array(chosen)))


class BadRows:
    """The rows of a file that cannot be used; where they are not to be skipped only the first and how many."""

    def __init__(self, path: Path, *, skip: bool) -> None:
        self.path, self.count = path, 0
        self._skip = skip
        self._tables: list[pa.Table] = []

    def add(self, rows: _Rows, columns: Columns) -> None:
        """Take in rows of which each has a bad value in one of the columns."""
        self.count += len(rows.numbers)
        kept = rows if self._skip else _Rows(rows.numbers[:FIRST_REJECTS], rows.values.slice(0, FIRST_REJECTS))
        values = {name: texts_of(kept.values[name], self.path, name) for name in columns.names}
        self._tables.append(pa.table({"row": kept.numbers, **values, "reason": _why(kept.values, columns)}))

    def add_unreadable(self, rejects: Sequence[Reject]) -> None:
        """Take in rows that could not be split into values."""
        if rejects:
            self.count += len(rejects)
            numbers, why = [each.row for each in rejects], [each.reason for each in rejects]
            self._tables.append(pa.table({"row": pa.array(numbers, pa.int64()), "reason": pa.array(why, pa.string())}))

    def table(self) -> pa.Table:
        """`row`, the values as text, `reason`; by row. There must be some."""
        table = pa.concat_tables(self._tables, promote_options="default").sort_by("row")
        return table.select([*(name for name in table.column_names if name != "reason"), "reason"])

    def refuse(self) -> None:
        """Raise InputError naming the first bad rows, unless there are none or they are to be skipped."""
        if self.count and not self._skip:
            raise InputError(refusal(self.path, self.count, self.table()))


def read_coordinates(path: Path, columns: Columns, bad_rows: BadRows) -> tuple[Degrees, Degrees]:
    """Latitudes and longitudes (float64[n], degrees) of the usable rows of a data set, in its order.

    Ids are read only to name the bad rows, which `bad_rows` takes in; an id may be empty. Raises InputError if the
    file cannot be read, lacks a column, has no usable row, or bad rows that are not to be skipped.
    """
    header = header_of(path, columns.names)
    quick = _read_quickly(path, header, columns)
    if quick is not None:
        return quick
    photo_id = columns.photo_id or (PHOTO_ID if PHOTO_ID in header else None)
    parts = _iterate(path, header, replace(columns, photo_id=photo_id), bad_rows, ids_may_be_empty=True)
    latitudes, longitudes = zip(*((part.latitudes, part.longitudes) for part in parts), strict=True)
    return np.concatenate(latitudes), np.concatenate(longitudes)


def iterate_photos(path: Path, columns: Columns, bad_rows: BadRows) -> Iterator[Part]:
    """The usable rows of a data set, part by part.

    A row without an id is bad as well. Raises InputError as `read_coordinates` does, for bad rows after the last part.
    """
    yield from _iterate(path, header_of(path, columns.names), columns, bad_rows, ids_may_be_empty=False)


def ending_of(path: Path) -> str:
    """`.csv` or `.parquet`. Raises InputError for any other ending."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"{path}: the ending is {ending or 'missing'}, expected {' or '.join(ENDINGS)}; rename it")
    return ending


def header_of(path: Path, names: Sequence[str]) -> list[str]:
    """The names of all columns. Raises InputError if one of those asked for is not there, or more than once."""
    if ending_of(path) == ".csv":
        header = [name.strip() for name in read_first_row(path)]
    else:
        with open_parquet(path) as file:
            header = list(file.schema_arrow.names)
    missing = [name for name in names if name not in header]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; the file has {', '.join(header)}; say which of them are meant "
            "with --column-img-path, --column-lat, --column-lng"
        )
    doubled = [name for name in names if header.count(name) > 1]
    if doubled:
        raise InputError(f"{path}: more than one column {', '.join(doubled)}; rename all but one")
    return header


def iterate_tables(file: pq.ParquetFile, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Some columns of a Parquet file, or all, some rows at a time; text views, which Arrow cannot filter, as text."""
    for batch in file.iter_batches(_BATCH_ROWS, columns=names):
        fields = [
            field.with_type(pa.string()) if pa.types.is_string_view(field.type) else field for field in batch.schema
        ]
        yield pa.table(batch).cast(pa.schema(fields, batch.schema.metadata))


def distinct(header: Sequence[str], names: Sequence[str]) -> list[str]:
    """The header with names of their own for all other columns, which may have any."""
    return [name if name in names else f"{name} (column {number})" for number, name in enumerate(header)]


@contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file. Raises InputError if it is absent or turns out to be damaged."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; supply it or correct the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, expected a Parquet file") from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path}: no Parquet file, or a damaged one ({error}); supply it again") from error


def texts_of(column: pa.ChunkedArray, path: Path, name: str) -> pa.ChunkedArray:
    """A column as text. Raises InputError for a column of something that is neither text nor number."""
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path}, column {name}: found {column.type}, expected text or numbers") from error


def is_empty(texts: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """bool[n]: which texts are null, empty or white space."""
    empty = pc.equal(pc.utf8_trim_whitespace(texts), "")
    return np.asarray(pc.fill_null(empty, True).to_numpy())


def _iterate(
    path: Path, header: Sequence[str], columns: Columns, bad_rows: BadRows, *, ids_may_be_empty: bool
) -> Iterator[Part]:
    num_usable = 0
    for rows in _rows(path, header, columns, bad_rows):
        latitudes, longitudes = (
            _numbers(rows.values[name], path, name) for name in (columns.latitude, columns.longitude)
        )
        good = within(latitudes, *LATITUDES) & within(longitudes, *LONGITUDES)
        if columns.photo_id is not None and not ids_may_be_empty:
            good &= ~is_empty(texts_of(rows.values[columns.photo_id], path, columns.photo_id))
        if not good.all():
            bad_rows.add(rows.where(~good), columns)
        num_usable += int(np.count_nonzero(good))
        numbers = (np.asarray(column.to_numpy())[good] for column in (latitudes, longitudes))
        yield Part(rows.where(good).values, *numbers)
    bad_rows.refuse()
    _require_rows(path, num_usable, bad_rows.count)


def _require_rows(path: Path, num_usable: int, num_bad: int) -> None:
    """Raise InputError where there is no usable row."""
    if not num_usable:
        found = f"none of its {num_bad} rows can be used" if num_bad else "it has no rows"
        raise InputError(f"{path}: {found}; expected a row for each photo")


def _read_quickly(path: Path, header: Sequence[str], columns: Columns) -> tuple[Degrees, Degrees] | None:
    """All coordinates, or None where a row has to be looked at. Raises InputError where there is no row at all."""
    names = [columns.latitude, columns.longitude]
    if ending_of(path) == ".csv":
        table = _parse_csv(path, distinct(header, names), names)
    else:
        with open_parquet(path) as file:
            table = file.read(columns=names)
        table = table if all(pa.types.is_floating(field.type) for field in table.schema) else None
    if table is None:
        return None
    _require_rows(path, table.num_rows, 0)
    limits = (LATITUDES, LONGITUDES)
    if not all(within(table[name], *limit).all() for name, limit in zip(names, limits, strict=True)):
        return None
    latitudes, longitudes = (table[name].to_numpy().astype(np.float64, copy=False) for name in names)
    return latitudes, longitudes


def _parse_csv(path: Path, header: Sequence[str], names: Sequence[str]) -> pa.Table | None:
    """Columns of numbers, null where nothing stands; None where a value or a row is none that Arrow can read."""
    try:
        return csv.read_csv(
            path,
            read_options=csv.ReadOptions(column_names=header, skip_rows=1),
            convert_options=csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(names, pa.float64())),
        )
    except pa.ArrowInvalid:
        return None


def _rows(path: Path, header: Sequence[str], columns: Columns, bad_rows: BadRows) -> Iterator[_Rows]:
    """All rows that can be split into values; the others go to `bad_rows`."""
    if ending_of(path) == ".csv":
        names = distinct(header, columns.names)
        for part in iterate_csv_rows(path, names, header=True, wanted=names, block_bytes=_BLOCK_BYTES):
            bad_rows.add_unreadable(part.rejects)
            yield _Rows(part.rows, part.columns.select(columns.names))
    else:
        start = 1
        with open_parquet(path) as file:
            for table in iterate_tables(file, columns.names):
                yield _Rows(np.arange(start, start + table.num_rows), table.select(columns.names))
                start += table.num_rows


def _numbers(column: pa.ChunkedArray, path: Path, name: str) -> pa.ChunkedArray:
    """float64 of a column of numbers or texts, null where there is no number. Raises InputError for anything else."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if any(test(kind) for test in _TEXTS):
        texts = column.cast(pa.string())
        try:
            return texts.cast(pa.float64())
        except pa.ArrowInvalid:
            return numbers_of(texts)
    if not any(test(kind) for test in _NUMBERS):
        raise InputError(f"{path}, column {name}: found {column.type}, expected numbers of degrees")
    return column.cast(pa.float64(), safe=False)


def _why(values: pa.Table, columns: Columns) -> list[str]:
    """The reason for each bad row: its first bad value."""
    why = [f"empty {columns.photo_id}"] * values.num_rows
    for name, limits in ((columns.longitude, LONGITUDES), (columns.latitude, LATITUDES)):
        column = values[name].cast(pa.string())
        bad = np.flatnonzero(~within(numbers_of(column), *limits))
        for row, reason in zip(bad, reasons(name, column.take(pa.array(bad)), *limits), strict=True):
            why[row] = reason
    return why
