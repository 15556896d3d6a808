"""Rows and records of finished buckets, written again as other buckets.

Here live the copying of records and the new manifests. Not here: locks, and how the new buckets come into place
(migration.py). The one idea: rows are held in memory, pictures never; the old shards are read from front to back, each
record goes to the open shard of its new bucket, and only its row remembers the order.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline import store
from geo_pipeline.crawl.compaction import shard_name
from geo_pipeline.crawl.remembered import doubted_statuses, settings_of
from geo_pipeline.crawl.storage import MANIFEST
from geo_pipeline.errors import InputError
from geo_pipeline.shards.format import ShardWriter
from geo_pipeline.shards.manifest import MANIFEST_SCHEMA, Status
from geo_pipeline.shards.reader import ShardReader

_RECORDS_AT_A_TIME = 256
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Regrouped:
    """How many photos the new buckets have, and how many of their pictures could not be read."""

    num_photos: int
    num_damaged: int


def regroup(
    root: Path,
    manifests: Mapping[str, pa.Table],
    new_folders: Sequence[Path],
    bucket_of: Callable[[pa.ChunkedArray], np.ndarray],
    *,
    records_per_shard: int,
    on_progress: Callable[[int, int], None] | None,
) -> Regrouped:
    """Write the photos of the buckets `root/<name>`, given their manifests by name, to new folders.

    `bucket_of` gives each photo id's index in `new_folders`. The new buckets are on the disk when it returns. A photo
    in several old buckets is taken once, from where it has a picture. Raises OSError as the disk does.
    """
    settings = _settings_of_most(manifests.values())
    located = [_with_paths(name, _mark_doubted(manifest, settings)) for name, manifest in manifests.items()]
    rows = _each_photo_once(pa.concat_tables(located))
    targets = bucket_of(rows["photo_id"])
    with ExitStack() as stack:
        reader = stack.enter_context(closing(ShardReader(root)))
        buckets = [stack.enter_context(closing(_NewBucket(path, records_per_shard))) for path in new_folders]
        places = _copy_records(rows, targets, buckets, reader, on_progress)
        for number, bucket in enumerate(buckets):
            chosen = np.flatnonzero(targets == number)
            bucket.finish(_placed(rows.take(pa.array(chosen)), places[chosen]), settings)
    num_lost = int((places[:, 0] < 0).sum()) - rows["shard"].null_count
    return Regrouped(rows.num_rows, num_lost)


class _NewBucket:
    """A bucket being written."""

    def __init__(self, folder: Path, records_per_shard: int) -> None:
        folder.mkdir(parents=True)
        self._folder, self._records_per_shard = folder, records_per_shard
        self._writer: ShardWriter | None = None
        self._num_records = 0

    def append(self, photo_id: str, image: bytes) -> tuple[int, int, int]:
        """Write a record; returns the number of its shard, its offset and its length."""
        number, num_in_shard = divmod(self._num_records, self._records_per_shard)
        if self._writer is None or num_in_shard == 0:
            self._end_shard()
            self._writer = ShardWriter(self._folder / shard_name(number))
        self._num_records += 1
        return number, *self._writer.append(photo_id, image)

    def finish(self, manifest: pa.Table, settings: Mapping[str, str]) -> None:
        """Return when the bucket is on the disk: its shards, then its manifest."""
        self._end_shard()
        store.write_table(self._folder / MANIFEST, manifest.replace_schema_metadata(settings))

    def close(self) -> None:
        """Give the open file back; harmless after `finish`."""
        if self._writer:
            self._writer.close()

    def _end_shard(self) -> None:
        if self._writer:
            self._writer.sync()
            self._writer.close()


def _settings_of_most(manifests: Iterable[pa.Table]) -> dict[str, str]:
    """What the manifests of the most photos remember of their settings."""
    counts: Counter[tuple[tuple[str, str], ...]] = Counter()
    for manifest in manifests:
        counts[tuple(settings_of(manifest).items())] += manifest.num_rows
    return dict(counts.most_common(1)[0][0])


def _mark_doubted(manifest: pa.Table, settings: Mapping[str, str]) -> pa.Table:
    """The rows without metadata; those that `settings` put in doubt, which their manifest alone knew, are due at once.

    Most sets were crawled with the same settings throughout: then no row changes.
    """
    doubted = [status.value for status in doubted_statuses(settings_of(manifest), settings)]
    is_doubted = pc.is_in(manifest["status"], pa.array(doubted, pa.string()))
    index = MANIFEST_SCHEMA.get_field_index("next_attempt_at")
    field = MANIFEST_SCHEMA.field(index)
    times = manifest["next_attempt_at"]
    marked = pc.if_else(pc.and_(is_doubted, pc.is_null(times)), pa.scalar(_LONG_AGO, field.type), times)
    return manifest.replace_schema_metadata(None).set_column(index, field, marked)


def _with_paths(bucket: str, manifest: pa.Table) -> pa.Table:
    """The rows with their shards' paths below the set's folder."""
    index = MANIFEST_SCHEMA.get_field_index("shard")
    paths = pc.binary_join_element_wise(bucket, manifest["shard"], "/")
    return manifest.set_column(index, MANIFEST_SCHEMA.field(index), paths)


def _each_photo_once(rows: pa.Table) -> pa.Table:
    """One row for each photo id, ordered by it: of several the one with a picture, then the one fetched last."""
    ordered = (
        rows.append_column("is_stored", pc.equal(rows["status"], Status.OK.value))
        .sort_by([("photo_id", "ascending"), ("is_stored", "descending"), ("fetched_at", "descending")])
        .drop_columns("is_stored")
        .combine_chunks()
    )
    ids = ordered["photo_id"]
    differs = pc.not_equal(ids.slice(1), ids.slice(0, max(len(ids) - 1, 0))).to_numpy()
    return ordered.filter(pa.array(np.concatenate([np.ones(min(len(ids), 1), dtype=bool), differs])))


def _copy_records(
    rows: pa.Table,
    targets: np.ndarray,
    buckets: Sequence[_NewBucket],
    reader: ShardReader,
    on_progress: Callable[[int, int], None] | None,
) -> np.ndarray:
    """int64[n, 3]: each row's new shard number, offset and length; -1 where there is no picture or none to read."""
    places = np.full((rows.num_rows, 3), -1, dtype=np.int64)
    wanted = rows.select(["photo_id", "shard", "offset", "length", "image_sha256"])
    wanted = wanted.append_column("row", pa.array(np.arange(rows.num_rows))).append_column("target", pa.array(targets))
    stored = wanted.filter(pc.is_valid(wanted["shard"])).sort_by([("shard", "ascending"), ("offset", "ascending")])
    num_done = 0
    for batch in stored.to_batches(max_chunksize=_RECORDS_AT_A_TIME):
        for record in batch.to_pylist():
            image = _whole_image(reader, record)
            if image is not None:
                places[record["row"]] = buckets[record["target"]].append(record["photo_id"], image)
        num_done += batch.num_rows
        if on_progress:
            on_progress(num_done, stored.num_rows)
    return places


def _whole_image(reader: ShardReader, record: Mapping[str, Any]) -> bytes | None:
    """The picture of a record, None unless it is there and the one that the row speaks of."""
    try:
        photo_id, image = reader.record(record["shard"], record["offset"], record["length"])
    except InputError:
        return None
    is_same = photo_id == record["photo_id"] and record["image_sha256"] in {None, hashlib.sha256(image).hexdigest()}
    return image if is_same else None


def _placed(rows: pa.Table, places: np.ndarray) -> pa.Table:
    """A new bucket's manifest: the rows with the new places; a photo that lost its picture is as if never tried."""
    is_lost = pc.and_(pc.is_valid(rows["shard"]), pa.array(places[:, 0] < 0))
    names = pa.array([shard_name(number) for number in range(places[:, 0].max(initial=-1) + 1)], pa.string())
    shards, offsets, lengths = (pa.array(column, mask=column < 0) for column in places.T)
    moved = {"shard": names.take(shards), "offset": offsets, "length": lengths}
    untried = {field.name: pa.scalar(None, field.type) for field in MANIFEST_SCHEMA}
    untried |= {"photo_id": rows["photo_id"], "url": rows["url"], "status": pa.scalar(Status.PENDING.value)}
    untried |= {"attempts": pa.scalar(0, pa.int32()), "bytes_received": pa.scalar(0, pa.int64())}
    columns = [pc.if_else(is_lost, untried[name], moved.get(name, rows[name])) for name in MANIFEST_SCHEMA.names]
    return pa.table(columns, schema=MANIFEST_SCHEMA)
