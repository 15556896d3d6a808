"""The hashes of stored pictures, each computed once and remembered in a file.

Not here: what a hash is and which are near (leakage.py). The one idea: a hash is remembered by the picture's own
sha256, so a crawl that adds photos costs the hashes of what it added.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.evaluation.leakage import PictureHashes, hash_picture
from geo_pipeline.model.stored_photos import StoredPhotos
from geo_pipeline.store import read_table, write_table

_COLUMNS = {"key": np.uint64, "rows": np.uint64, "columns": np.uint64, "flat": np.bool_}
_AT_ONCE = 256
_LEAST_SIDE = 64
"""A picture is decoded no larger than libjpeg can make it with a short side of at least so many pixels."""


def hash_pictures(tables: Sequence[pa.Table], shards_root: Path, memory: Path) -> list[PictureHashes]:
    """The hashes of the stored pictures of some tables, in their order.

    Each table has `image_sha256, shard, offset, length`. `memory` is a Parquet file: pictures that it knows are not
    read; those that no table has are forgotten. Raises InputError for a lost or damaged shard.
    """
    keys = [_keys(table) for table in tables]
    known = _remembered(memory)
    unknown = [table.filter(pa.array(~np.isin(each, known[0]))) for table, each in zip(tables, keys, strict=True)]
    new = _hashed(
        pa.concat_tables([each.select(["image_sha256", "shard", "offset", "length"]) for each in unknown]), shards_root
    )
    columns = [np.concatenate(pair) for pair in zip(known, new, strict=True)]
    distinct, first = np.unique(columns[0], return_index=True)
    columns = [column[first] for column in columns]
    needed = np.isin(distinct, np.concatenate(keys))
    if len(new[0]) or not needed.all():
        write_table(memory, pa.table([column[needed] for column in columns], names=list(_COLUMNS)))
    places = [np.searchsorted(distinct, each) for each in keys]
    return [PictureHashes(*(column[place] for column in columns[1:])) for place in places]


def _hashed(pictures: pa.Table, shards_root: Path) -> list[npt.NDArray[np.generic]]:
    """Key, hashes and flatness of each picture, read from the shards on all cores."""
    parts = [pictures.slice(first, _AT_ONCE) for first in range(0, pictures.num_rows, _AT_ONCE)]
    with ThreadPoolExecutor() as pool:
        hashed = list(pool.map(lambda part: _hashed_part(part, shards_root), parts))
    kinds = list(_COLUMNS.values())[1:]
    none: list[npt.NDArray[np.generic]] = [np.empty(0, kind) for kind in kinds]
    return [_keys(pictures), *(np.concatenate(column) for column in zip(none, *hashed, strict=True))]


def _hashed_part(pictures: pa.Table, shards_root: Path) -> list[npt.NDArray[np.generic]]:
    source = StoredPhotos(pictures, shards_root)
    hashes = [hash_picture(np.asarray(source.image(row, _LEAST_SIDE))) for row in range(len(source))]
    # left to itself numpy makes floats of numbers beyond int64
    return [np.array([each[k] for each in hashes], dtype=kind) for k, kind in enumerate(list(_COLUMNS.values())[1:])]


def _remembered(memory: Path) -> list[npt.NDArray[np.generic]]:
    """Keys and hashes of the memory; empty if there is none."""
    if not memory.exists():
        return [np.empty(0, kind) for kind in _COLUMNS.values()]
    return [np.asarray(column.to_numpy()) for column in read_table(memory).columns]


def _keys(pictures: pa.Table) -> npt.NDArray[np.uint64]:
    """uint64[n]: the first 64 bits of each picture's sha256."""
    starts = pc.utf8_slice_codeunits(pictures["image_sha256"], 0, 16).to_pylist()
    return np.array([int(start, 16) for start in starts], dtype=np.uint64)
