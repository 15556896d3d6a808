"""Reading CSV files row by row without losing one: text columns, row numbers, and what could not be split.

Not here: what the columns mean (url_lists.py, metadata.py). The one idea: every cell is read as text, so that a
damaged value is seen as it stands in the file, and every row keeps its line number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from geo_pipeline.errors import InputError
from geo_pipeline.photos.rejects import Reject

_BLOCK_BYTES = 2_000_000


@dataclass(frozen=True)
class CsvRows:
    """Rows of a CSV file.

    `columns`: the text columns asked for; `rows`: int64[n], line numbers from 1; `rejects`: rows with a wrong number
    of values.
    """

    columns: pa.Table
    rows: np.ndarray
    rejects: list[Reject]


def read_first_row(path: Path) -> list[str]:
    """The values of the first line. Raises InputError if the file is absent, empty or not UTF-8 text."""
    import csv as csv_module

    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = next(csv_module.reader(stream), None)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; supply it or correct the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, expected a CSV file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text at byte {error.start}; convert it to UTF-8") from error
    if not first:
        raise InputError(f"{path}: the first line is empty; expected CSV rows")
    return first


def read_csv_rows(path: Path, names: Sequence[str], *, header: bool, wanted: Sequence[str]) -> CsvRows:
    """All rows of a CSV file at once; otherwise as `iterate_csv_rows`."""
    parts = list(iterate_csv_rows(path, names, header=header, wanted=wanted))
    empty = pa.table({name: pa.array([], pa.string()) for name in wanted})
    return CsvRows(
        pa.concat_tables([empty, *(part.columns for part in parts)]).combine_chunks(),
        np.concatenate([np.empty(0, dtype=np.int64), *(part.rows for part in parts)]),
        [reject for part in parts for reject in part.rejects],
    )


def iterate_csv_rows(
    path: Path, names: Sequence[str], *, header: bool, wanted: Sequence[str], block_bytes: int = _BLOCK_BYTES
) -> Iterator[CsvRows]:
    """Read the `wanted` columns of a CSV file as text, about `block_bytes` of the file at a time.

    `names` are all columns of the file in order, `header` says whether its first line holds them. Quoted values may
    hold commas but no line breaks. The last part has the rejects. Raises InputError naming the file if it is not UTF-8.
    """
    rejects: list[Reject] = []

    def keep_bad_row(row: csv.InvalidRow) -> str:
        reason = f"expected {row.expected_columns} values, found {row.actual_columns if row.text else 0}"
        rejects.append(Reject(row.number, None, reason))
        return "skip"

    next_line = 1 + header
    try:
        reader = csv.open_csv(
            path,
            read_options=csv.ReadOptions(
                use_threads=False, column_names=list(names), skip_rows=int(header), block_size=block_bytes
            ),
            parse_options=csv.ParseOptions(invalid_row_handler=keep_bad_row, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                include_columns=list(wanted), column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
            ),
        )
        for batch in reader:
            lines = _good_lines(next_line, batch.num_rows, rejects)
            next_line = int(lines[-1]) + 1 if len(lines) else next_line
            table = pa.table(batch)
            filled = _not_blank(table)
            yield CsvRows(table.filter(filled), lines[filled.to_numpy(zero_copy_only=False)], [])
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise InputError(f"{path}: cannot be read as CSV: {error}") from error
    yield CsvRows(pa.table({name: pa.array([], pa.string()) for name in wanted}), np.empty(0, dtype=np.int64), rejects)


def _not_blank(table: pa.Table) -> pa.ChunkedArray:
    """Which rows hold any value at all: a blank line is no photo, and no mistake either."""
    return reduce(pc.or_, (pc.not_equal(column, "") for column in table.columns))


def _good_lines(first: int, num_rows: int, rejects: Sequence[Reject]) -> np.ndarray:
    """int64[num_rows]: line numbers of good rows from line `first` on: all but those of the rejected rows."""
    bad = np.array([reject.row for reject in rejects if reject.row >= first], dtype=np.int64)
    return np.setdiff1d(np.arange(first, first + num_rows + len(bad)), bad, assume_unique=True)[:num_rows]


def first_of_each(values: pa.Array) -> np.ndarray:
    """For each value the index of its first occurrence: int64[n]."""
    codes = pc.dictionary_encode(values).indices.to_numpy(zero_copy_only=False)
    if len(codes) == 0:
        return np.empty(0, dtype=np.int64)
    _, first = np.unique(codes, return_index=True)
    return np.asarray(first[codes])
