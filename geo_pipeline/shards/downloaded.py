"""What is known of photos in folders of shards: which are stored there, and what became of the others.

Here lives the search through folders. Not here: the pictures themselves (photo_reader.py). The one idea: a manifest is
believed as far as the shards bear it out; shards without a manifest, as of the original project, are read for their
ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.errors import InputError
from geo_pipeline.shards.format import iterate_shard
from geo_pipeline.shards.manifest import Status
from geo_pipeline.shards.photo_reader import MANIFEST
from geo_pipeline.store import read_columns

LOST = "lost"
"""Stands for the status of a photo that its manifest calls stored, and whose shard is gone or ends before it."""
NOT_LISTED = "not_listed"
"""Stands for the status of a photo that no manifest and no shard knows."""

_COLUMNS = ("photo_id", "status", "shard", "offset", "length")
_SCHEMA = pa.schema([("photo_id", pa.binary()), ("status", pa.string())])


def downloaded_photos(folders: Sequence[Path]) -> pa.Table:
    """`photo_id` (binary, UTF-8), `status` of all photos known below some folders, at any depth; stored ones first.

    Folders whose name begins with a dot, where a download keeps its work, are left out. Raises InputError for a folder
    that is not there or holds neither a manifest nor a shard, DamagedRecordError for a shard without a manifest that
    cannot be read.
    """
    table = pa.concat_tables(found for folder in folders for found in _photos_below(folder))
    is_stored = pc.equal(table["status"], Status.OK.value)
    return pa.concat_tables([table.filter(is_stored), table.filter(pc.invert(is_stored))])


def statuses_of(photo_ids: pa.ChunkedArray, downloaded: pa.Table) -> pa.ChunkedArray:
    """The status of each photo (string[n]) among the `downloaded_photos`; `ok` where it is stored in any of them."""
    row = pc.index_in(photo_ids.cast(pa.binary()), downloaded["photo_id"].combine_chunks())
    return pc.fill_null(downloaded["status"].take(row), NOT_LISTED)


def _photos_below(folder: Path) -> Iterator[pa.Table]:
    """The photos of each folder at or below this one that has a manifest or shards."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name a folder of shards")
    found = False
    for place in sorted(_folders(folder)):
        shards = sorted(place.glob("*.msg"))
        if (place / MANIFEST).is_file():
            found = True
            yield _listed(place / MANIFEST)
        elif shards:
            found = True
            yield from map(_stored, shards)
    if not found:
        raise InputError(f"{folder}: neither a {MANIFEST} nor a shard (*.msg) is there; name a folder of shards")


def _folders(folder: Path) -> Iterator[Path]:
    yield folder
    for each in folder.iterdir():
        if each.is_dir() and not each.name.startswith("."):
            yield from _folders(each)


def _listed(manifest: Path) -> pa.Table:
    """The photos of a manifest, `lost` where the shard does not reach as far as the manifest says."""
    table = read_columns(manifest, _COLUMNS)
    names = pc.unique(table["shard"]).drop_null()
    sizes = pa.array([_size(manifest.parent / name) for name in names.to_pylist()], pa.int64())
    reach = sizes.take(pc.index_in(table["shard"], names, skip_nulls=True))
    is_there = pc.fill_null(pc.less_equal(pc.add(table["offset"], table["length"]), reach), False)
    is_stored = pc.equal(table["status"], Status.OK.value)
    status = pc.if_else(pc.and_(is_stored, pc.invert(is_there)), LOST, table["status"])
    return pa.table([table["photo_id"], status], names=_SCHEMA.names).cast(_SCHEMA)


def _size(shard: Path) -> int:
    """Bytes of a shard, -1 where there is none."""
    return shard.stat().st_size if shard.is_file() else -1


def _stored(shard: Path) -> pa.Table:
    """The photos of a shard, by reading it."""
    ids = [record.photo_id.encode("utf-8", "surrogateescape") for record in iterate_shard(shard)]
    return pa.table([ids, [Status.OK.value] * len(ids)], schema=_SCHEMA)
