"""Choosing rows of a table of photos, CSV or Parquet, and keeping them as they are.

Here lives reading the ids and copying rows. Not here: which are chosen. The one idea: what is kept is copied, a CSV
file line by line, so that nothing but rows goes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.errors import InputError
from geo_pipeline.photos.csv_rows import iterate_csv_rows
from geo_pipeline.photos.dataset import distinct, ending_of, header_of, is_empty, iterate_tables, open_parquet, texts_of
from geo_pipeline.photos.rejects import Reject, refusal, rejects_table
from geo_pipeline.store import atomic_file, table_stream


@dataclass(frozen=True)
class PhotoRows:
    """The rows of a file: `ids`: string[n]; `numbers`: int64[n], from 1, in CSV the lines (the header is line 1)."""

    ids: pa.ChunkedArray
    numbers: npt.NDArray[np.int64]


def read_photo_rows(path: Path, column: str) -> PhotoRows:
    """The photo id of each row. Raises InputError if the file cannot be read or a row has no id."""
    header = header_of(path, [column])
    if ending_of(path) == ".csv":
        names = distinct(header, [column])
        parts = [
            (part.columns[column], part.rows, part.rejects)
            for part in iterate_csv_rows(path, names, header=True, wanted=names)
        ]
        ids, numbers, unreadable = zip(*parts, strict=True)
        rows = PhotoRows(
            pa.chunked_array([chunk for each in ids for chunk in each.chunks], pa.string()), np.concatenate(numbers)
        )
        rejects = [reject for each in unreadable for reject in each]
    else:
        with open_parquet(path) as file:
            ids = texts_of(file.read(columns=[column])[column], path, column)
        rows, rejects = PhotoRows(ids, np.arange(1, len(ids) + 1)), []
    rejects += [Reject(row, None, f"empty {column}") for row in rows.numbers[is_empty(rows.ids)].tolist()]
    if rejects:
        raise InputError(refusal(path, len(rejects), rejects_table("", path, rejects), can_skip=False))
    return rows


def copy_rows(path: Path, output: Path, numbers: npt.NDArray[np.int64]) -> None:
    """Write the rows of these numbers (of `PhotoRows`, ascending) to a file of the same ending, atomically."""
    if ending_of(path) == ".csv":
        with atomic_file(output) as stream:
            stream.writelines(_lines(path, numbers))
        return
    start = 1
    with open_parquet(path) as file, table_stream(output) as append:
        for table in iterate_tables(file):
            first, end = np.searchsorted(numbers, [start, start + table.num_rows])
            append(table.take(pa.array(numbers[first:end] - start)))
            start += table.num_rows


def _lines(path: Path, numbers: npt.NDArray[np.int64]) -> Iterator[bytes]:
    """The header and the lines of these numbers. Raises InputError where a line is no row."""
    chosen = bytearray(int(numbers.max(initial=1)) + 1)
    np.frombuffer(chosen, dtype=np.uint8)[[1, *numbers]] = 1
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if b"\r" in line[:-2] or (line.count(b'"') % 2 and not _is_whole(line)):
                raise InputError(
                    f"{path}, row {number}: a line break inside of a value, or lines that end with CR alone; expected "
                    "a line for each row: take the breaks out or supply the labels as Parquet"
                )
            if number < len(chosen) and chosen[number]:
                yield line


def _is_whole(line: bytes) -> bool:
    """Whether each quoted value of a line ends in it."""
    try:
        list(csv.reader([line.decode("utf-8", "replace")], strict=True))
    except csv.Error:
        return False
    return True
