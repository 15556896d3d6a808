"""The removal list: photos whose removal somebody asked for, by photo id, author or URL.

Here live reading the list and taking its photos out of tables. Not here: which list a profile names and which tables
lose photos (defs), and the deletion of stored pictures, which follows from a photo being listed no longer (crawl). The
one idea: a request passed over in silence would keep a photo against a person's will, so a row that asks for nothing
clear is an error and no reject.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.errors import InputError
from geo_pipeline.photos.csv_rows import read_first_row

_FIELDS = {"photo_id": "photo_ids", "image_id": "photo_ids", "img_id": "photo_ids", "author": "authors", "url": "urls"}
"""What a column asks by: its name in lower case -> the field of Removals."""


@dataclass(frozen=True)
class Removals:
    """What was asked for: photos with one of these ids, of one of these authors, or listed with one of these URLs.

    No value is empty or has white space around it.
    """

    photo_ids: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()


def read_removals(path: Path) -> Removals:
    """Read a CSV with a header that has one or more of `photo_id` (or `IMG_ID`, `image_id`), `author` and `url`.

    Upper and lower case mean the same in the header; other columns (a date, a reason) are not looked at. Each filled
    cell is a request of its own; blank lines and a list without rows are no mistake. Raises InputError if the file
    cannot be read or has none of the columns, and naming the row that asks for nothing or has a wrong number of values.
    """
    header = [name.strip() for name in read_first_row(path)]
    fields = [_FIELDS.get(name.lower()) for name in header]
    if not any(fields):
        raise InputError(
            f"{path}: the header has {', '.join(header)[:200]}; expected one or more of the columns photo_id (or "
            f"IMG_ID, image_id), author, url: name the columns in the first line"
        )
    asked: dict[str, set[str]] = {field: set() for field in _FIELDS.values()}
    for row, cells in _rows(path):
        if len(cells) != len(header):
            raise InputError(
                f"{path}, row {row}: expected {len(header)} values, found {len(cells)}; put a value that holds a comma "
                f"in quotes"
            )
        requests = [(field, cell.strip()) for field, cell in zip(fields, cells, strict=True) if field and cell.strip()]
        if not requests:
            raise InputError(
                f"{path}, row {row}: asks for nothing, expected a photo id, an author or a URL; fill it in or delete "
                f"the row"
            )
        for field, value in requests:
            asked[field].add(value)
    return Removals(**{field: frozenset(values) for field, values in asked.items()})


def removed_ids(removals: Removals, *, photos: pa.Table, metadata: pa.Table | None) -> pa.Array:
    """string[n]: the photo ids that must go, each once, in order.

    `photos` has `photo_id, url`, `metadata` has `photo_id, author`; without metadata no author is looked for. Ids that
    were asked for are in the answer whether or not a table has them. White space around values makes no difference.
    """
    found = [pa.chunked_array([_strings(removals.photo_ids)]), _ids_where(photos, "url", removals.urls)]
    if metadata is not None:
        found.append(_ids_where(metadata, "author", removals.authors))
    ids = pc.unique(pa.chunked_array([chunk for ids in found for chunk in ids.chunks], pa.string()))
    return ids.take(pc.sort_indices(ids))


def without_removed(table: pa.Table, ids: pa.Array) -> pa.Table:
    """The rows of a table with `photo_id` whose photos are not among `ids` (of `removed_ids`), in their order."""
    return table.filter(pc.invert(_is_removed(table, ids)))


def only_removed(table: pa.Table, ids: pa.Array) -> pa.Table:
    """The other rows."""
    return table.filter(_is_removed(table, ids))


def _is_removed(table: pa.Table, ids: pa.Array) -> pa.ChunkedArray:
    return pc.is_in(pc.utf8_trim_whitespace(table["photo_id"]), ids)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, values) of each row below the header, without blank lines."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            next(reader)
            yield from ((reader.line_num, cells) for cells in reader if cells)
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, after row {reader.line_num}: not UTF-8 text; convert it to UTF-8") from error
        except csv.Error as error:
            raise InputError(f"{path}, row {reader.line_num}: cannot be read as CSV: {error}") from error


def _ids_where(table: pa.Table, column: str, values: frozenset[str]) -> pa.ChunkedArray:
    """Trimmed ids of the rows whose value in `column` is asked for."""
    is_asked = pc.is_in(pc.utf8_trim_whitespace(table[column]), _strings(values))
    return pc.utf8_trim_whitespace(table["photo_id"].filter(is_asked))


def _strings(values: Iterable[str]) -> pa.Array:
    return pa.array(sorted(values), pa.string())
