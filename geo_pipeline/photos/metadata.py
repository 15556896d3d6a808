"""Metadata of photos: coordinates, authors and scene probabilities, from the CSV form of the original project.

Not here: class labels (cells) and what was downloaded (crawl). The one idea: a coordinate is either certainly
usable or rejected with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.errors import InputError
from geo_pipeline.photos.csv_rows import CsvRows, first_of_each, read_csv_rows, read_first_row
from geo_pipeline.photos.numbers import LATITUDES, LONGITUDES, numbers_of, reasons, within
from geo_pipeline.photos.rejects import Reject, rejects_table

REQUIRED_COLUMNS = ("IMG_ID", "LAT", "LON")


@dataclass(frozen=True)
class Metadata:
    """The usable rows of a metadata file (`metadata_schema`), ordered by photo id, and its bad rows."""

    photos: pa.Table
    rejects: pa.Table


def metadata_schema(scenes: Mapping[str, str]) -> pa.Schema:
    """Columns of `photo_metadata`; `scenes` maps a scene's name to the CSV column of its probability."""
    return pa.schema(
        [
            pa.field("photo_id", pa.string(), nullable=False),
            pa.field("photo_set", pa.string(), nullable=False),
            pa.field("author", pa.string()),
            pa.field("latitude", pa.float64(), nullable=False),
            pa.field("longitude", pa.float64(), nullable=False),
            *(pa.field(f"probability_{scene}", pa.float64()) for scene in scenes),
        ]
    )


def read_metadata_csv(photo_set: str, path: Path, scenes: Mapping[str, str]) -> Metadata:
    """Read a metadata CSV with a header that has at least `IMG_ID,LAT,LON`.

    A latitude outside ±90, a longitude outside ±180, a value that is no number, an empty or a doubled id reject the
    row. The probability of a scene is null where its field is empty, or where the file has none of the scenes' columns.
    Raises InputError naming the missing column and those that exist.
    """
    header = [name.strip() for name in read_first_row(path)]
    scene_columns = tuple(scenes.values()) if set(scenes.values()) & set(header) else ()
    wanted = [*REQUIRED_COLUMNS, *(["AUTHOR"] if "AUTHOR" in header else []), *scene_columns]
    missing = [name for name in wanted if name not in header]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; the header has {', '.join(header)}")
    read = read_csv_rows(path, header, header=True, wanted=wanted)
    numbers = {name: numbers_of(read.columns[name]) for name in ("LAT", "LON", *scene_columns)}
    bad = _bad_rows(read, numbers, scene_columns)
    ids = read.columns["IMG_ID"]
    rejects = [*read.rejects, *(Reject(int(read.rows[i]), ids[i].as_py(), text) for i, text in bad.items())]
    good = np.setdiff1d(np.arange(len(ids)), np.array(list(bad), dtype=np.int64))
    authors = read.columns["AUTHOR"] if "AUTHOR" in header else pa.nulls(len(ids), pa.string())
    unknown = [] if scene_columns else [pa.nulls(len(ids), pa.float64())] * len(scenes)
    columns = [ids, pa.repeat(photo_set, len(ids)), authors, *numbers.values(), *unknown]
    table = pa.table(columns, schema=metadata_schema(scenes)).take(pa.array(good))
    return Metadata(table.sort_by("photo_id").combine_chunks(), rejects_table(photo_set, path, rejects))


def _bad_rows(read: CsvRows, numbers: Mapping[str, pa.ChunkedArray], scene_columns: tuple[str, ...]) -> dict[int, str]:
    """The reason for each row that cannot be used, by its index."""
    found: dict[int, str] = {}
    bounds = {"LAT": LATITUDES, "LON": LONGITUDES} | dict.fromkeys(scene_columns, (0, 1))
    for name, (low, high) in bounds.items():
        is_unknown = _is_empty(read.columns[name]) if name in scene_columns else False
        bad = np.flatnonzero(~(within(numbers[name], low, high) | is_unknown))
        for i, reason in zip(bad, reasons(name, read.columns[name].take(pa.array(bad)), low, high), strict=True):
            found.setdefault(int(i), reason)
    first = first_of_each(read.columns["IMG_ID"].combine_chunks())
    for i in np.flatnonzero(first != np.arange(len(first))):
        found[int(i)] = f"doubled id: stands already in row {read.rows[first[i]]}"
    for i in np.flatnonzero(_is_empty(read.columns["IMG_ID"])):
        found[int(i)] = "empty IMG_ID"
    return found


def _is_empty(texts: pa.ChunkedArray) -> np.ndarray:
    """bool[n]: which fields hold nothing."""
    return np.asarray(pc.equal(pc.utf8_trim_whitespace(texts), ""))
