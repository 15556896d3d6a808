"""A URL list of any length, divided into parts on disk in one pass.

Here lives the division; what is done with the parts is not known here. The one idea: a photo's part is a stable hash of
its id, so that a doubled id meets itself in one part, and a list that grew leaves every photo where it was. Only a
block of the file and one part are in memory at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa

from geo_pipeline.errors import InputError
from geo_pipeline.photos.csv_rows import CsvRows, iterate_csv_rows
from geo_pipeline.photos.rejects import Reject, refusal, rejects_table
from geo_pipeline.photos.removals import Removals, removed_ids
from geo_pipeline.photos.url_lists import URL_LIST_SCHEMA, bad_rows, has_header, id_hashes
from geo_pipeline.store import sync_folder, write_table

_ROW_SCHEMA = URL_LIST_SCHEMA.append(pa.field("row", pa.int64())).append(pa.field("hash", pa.uint64()))


def divide_url_csv(
    path: Path,
    file_of: Callable[[int], Path],
    num_parts: int,
    *,
    seed: int | None,
    removals: Removals | None = None,
    skip_bad_rows: bool = False,
) -> pa.Table:
    """Divide a CSV `image_id,url` (with or without header) into Parquet files `photo_id, url, removed`.

    `file_of` gives the file of each part 0..num_parts-1. Within a part photos stand in the order of the list, or with a
    `seed` in a random one that follows from the seed and the ids. Gives the rows that cannot be used
    (REJECTS_SCHEMA). Raises InputError for a file that cannot be read, and unless `skip_bad_rows` for bad rows; then
    no part is touched.
    """
    work = file_of(0).parent.parent / "dividing"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        rejects = _scatter(path, work, num_parts)
        made = [_finish_part(work, number, seed, removals) for number in range(num_parts)]
        table = rejects_table("", path, [*rejects, *(reject for found in made for reject in found)])
        if table.num_rows and not skip_bad_rows:
            raise InputError(refusal(path, table.num_rows, table))
        for number in range(num_parts):
            target = file_of(number)
            target.parent.mkdir(parents=True, exist_ok=True)
            (work / f"{number}.parquet").replace(target)
            sync_folder(target.parent)
        return table.drop_columns("photo_set")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _scatter(path: Path, work: Path, num_parts: int) -> list[Reject]:
    """Append each row of the list to the file of its part; the rows that could not be split into two values."""
    names = URL_LIST_SCHEMA.names
    rejects: list[Reject] = []
    with ExitStack() as stack:
        sinks = [stack.enter_context(pa.OSFile(str(work / f"{number}.arrow"), "wb")) for number in range(num_parts)]
        writers = [stack.enter_context(pa.ipc.new_stream(sink, _ROW_SCHEMA)) for sink in sinks]
        for block in iterate_csv_rows(path, names, header=has_header(path), wanted=names):
            rejects += block.rejects
            hashes = id_hashes(block.columns["photo_id"].to_pylist())
            numbers = hashes % np.uint64(num_parts)
            order = np.argsort(numbers, kind="stable")
            table = pa.table([*block.columns.columns, block.rows, hashes], schema=_ROW_SCHEMA).take(pa.array(order))
            ends = np.searchsorted(numbers[order], np.arange(num_parts), side="right")
            for writer, start, end in zip(writers, [0, *ends[:-1]], ends, strict=True):
                if end > start:
                    writer.write_table(table.slice(start, end - start))
    return rejects


def _finish_part(work: Path, number: int, seed: int | None, removals: Removals | None) -> list[Reject]:
    """Write a part's Parquet file; the rows of it that cannot be used."""
    source = work / f"{number}.arrow"
    with pa.memory_map(str(source)) as mapped, pa.ipc.open_stream(mapped) as stream:
        rows = stream.read_all().combine_chunks()
    reasons = bad_rows(CsvRows(rows.select(URL_LIST_SCHEMA.names), rows["row"].to_numpy(), []))
    good = np.setdiff1d(np.arange(rows.num_rows), np.array(list(reasons), dtype=np.int64))
    if seed is not None:
        good = good[np.argsort(_shuffled(rows["hash"].to_numpy()[good], seed), kind="stable")]
    photos = rows.take(pa.array(good)).select(URL_LIST_SCHEMA.names)
    write_table(work / f"{number}.parquet", photos.append_column("removed", _is_removed(photos, removals)))
    rejects = [Reject(rows["row"][i].as_py(), rows["photo_id"][i].as_py(), why) for i, why in reasons.items()]
    source.unlink()
    return rejects


def _shuffled(hashes: np.ndarray, seed: int) -> np.ndarray:
    """uint64[n]: another hash for each seed (the finalizer of SplitMix64; Steele, Lea, Flood, 2014)."""
    mixed = hashes + np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _is_removed(photos: pa.Table, removals: Removals | None) -> pa.Array:
    """bool[n]: which photos must not be kept."""
    if removals is None:
        return pa.repeat(pa.scalar(False), photos.num_rows)
    ids = set(removed_ids(removals, photos=photos, metadata=None).to_pylist())
    return pa.array([photo_id.strip() in ids for photo_id in photos["photo_id"].to_pylist()], pa.bool_())
