"""The files of one bucket while it is crawled: shards, ledger, manifest.

Here live opening (with recovery after a crash), recording and finishing. Requests and decoding are not known here. The
one idea: a record is appended to the shard, then its row to the ledger, and only `finish` makes a manifest of both;
at any instant the folder holds enough to continue.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline import store
from geo_pipeline.crawl.compaction import ShardFiles, compact, named_shards
from geo_pipeline.crawl.ledger import Ledger
from geo_pipeline.crawl.planning import Plan, merge, plan
from geo_pipeline.crawl.recorded import Recorded
from geo_pipeline.crawl.remembered import doubted_statuses, remembered_settings, settings_of
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.errors import InputError
from geo_pipeline.shards.format import DamagedRecordError, ShardWriter, unpack_record
from geo_pipeline.shards.manifest import MANIFEST_SCHEMA, ManifestRow, Status, empty_manifest

MANIFEST = "manifest.parquet"
LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Bucket:
    """A share of a photo set; its manifest and, while a crawl runs, its ledger are in `directory`.

    `photos` is a table, or the Parquet file of one, which is read when its turn comes: `photo_id, url` and, where some
    photos must not be kept, `removed` (bool). `files` are the shards; by default in `directory` as well.
    """

    key: str
    photos: pa.Table | Path
    directory: Path
    files: ShardFiles | None = None

    @property
    def num_photos(self) -> int:
        """How many photos are listed. Raises InputError if the file of the list cannot be read."""
        return store.num_rows(self.photos) if isinstance(self.photos, Path) else int(self.photos.num_rows)

    @property
    def shard_files(self) -> ShardFiles:
        """Its shards."""
        return self.files or ShardFiles(self.directory)

    def load(self) -> pa.Table:
        """The list. Raises InputError if its file cannot be read."""
        return store.read_table(self.photos) if isinstance(self.photos, Path) else self.photos


class BucketStore:
    """One bucket's files, open for a crawl.

    Opening recovers what an interrupted crawl recorded, deletes shards that nothing names and plans what is due.
    Raises InputError if another process is crawling the bucket or its list has a doubled id.
    """

    def __init__(self, bucket: Bucket, settings: CrawlSettings, now: datetime) -> None:
        self.bucket = bucket
        self.photos = bucket.load()
        self._files = bucket.shard_files
        self._settings = settings
        self._remembered = remembered_settings(settings)
        self._lock = threading.Lock()
        self._writer: ShardWriter | None = None
        self._num_in_shard = self._num_synced = 0
        self._is_closed = False
        bucket.directory.mkdir(parents=True, exist_ok=True)
        self._ledger = Ledger(bucket.directory / LEDGER)
        try:
            self.plan = self._recover(now)
        except BaseException:
            self._ledger.close()
            raise

    def record(self, row: ManifestRow, jpeg: bytes | None = None) -> ManifestRow:
        """Record a photo's outcome, with its picture if there is one; returns the row with the picture's place."""
        if jpeg is not None:
            writer = self._shard()
            offset, length = writer.append(row.photo_id, jpeg)
            self._num_in_shard += 1
            row = replace(row, shard=writer.path.name, offset=offset, length=length)
        self._ledger.append(row)
        self._recorded.append(row)
        return row

    def sync(self) -> None:
        """Wait until everything recorded is on the disk; safe to call from another thread than `record`."""
        with self._lock:
            num_rows = self._ledger.num_rows
            if self._is_closed or num_rows == self._num_synced:
                return
            if self._writer:
                self._writer.sync()
            self._ledger.mark_synced(num_rows)
            self._num_synced = num_rows

    def finish(self) -> tuple[pa.Table, bool]:
        """(manifest, whether it changed): put shards and manifest in place and remove the ledger.

        Every photo that was due must have been recorded.
        """
        with self._lock:
            manifest = self._manifest
            has_changed = not self.plan.is_settled or self._ledger.num_rows > 0
            if has_changed:
                manifest = self._replace_manifest()
            self._ledger.remove()
            self._close_writer()
            return manifest, has_changed

    def close(self) -> None:
        """Leave the bucket as it is, to be continued; harmless after `finish`."""
        try:
            self.sync()
        finally:
            with self._lock:
                self._ledger.close()
                self._close_writer()

    def stored_rows(self, indices: Sequence[int | None]) -> list[ManifestRow | None]:
        """The manifest's rows at some indices of `plan.due["stored"]`; None for None."""
        found = self._manifest.take(pa.array(indices, pa.int32())).to_pylist()
        return [
            ManifestRow(**{**row, "status": Status(row["status"])}) if index is not None else None
            for index, row in zip(indices, found, strict=True)
        ]

    def settled_sources(self) -> dict[tuple[str, str], tuple[Status, str | None]]:
        """(status, hash of the body) by (photo id, URL) for the manifest's rows that need no new attempt."""
        due = set(self.plan.due["photo_id"].to_pylist())
        rows = self._manifest.select(["photo_id", "url", "status", "source_sha256"]).to_pylist()
        return {
            (row["photo_id"], row["url"]): (Status(row["status"]), row["source_sha256"])
            for row in rows
            if row["photo_id"] not in due
        }

    def _recover(self, now: datetime) -> Plan:
        """Return to the last state that can be trusted and plan from there."""
        path = self.bucket.directory / MANIFEST
        manifest, base = read_manifest(path)
        named, sizes = named_shards(manifest), self._files.sizes()
        self._ledger.recover(
            base, self._remembered, lambda row, durable: _is_whole(self._files.folder, sizes, row, is_durable=durable)
        )
        self._forget_doubted_rows(base)
        self._recorded = Recorded(self._ledger.rows())
        recorded = self._recorded.table()
        self._continue_shard(
            recorded.filter(pc.invert(pc.is_in(recorded["shard"], pa.array([*named, None], pa.string()))))
        )
        self._files.delete_unnamed(named | named_shards(recorded))
        self._num_synced = self._ledger.num_rows
        self._manifest = readable_rows(manifest, sizes)
        made = self._plan(settings_of(manifest), recorded, now)
        is_complete = path.exists() and self._manifest.num_rows == manifest.num_rows
        return replace(made, is_settled=made.is_settled and is_complete)

    def _plan(self, settings_then: Mapping[str, str], recorded: pa.Table, now: datetime) -> Plan:
        doubted = doubted_statuses(settings_then, self._remembered)
        refresh_after = self._settings.refresh_after
        return plan(self.photos, self._manifest, recorded, now, doubted=doubted, refresh_after=refresh_after)

    def _forget_doubted_rows(self, base: str) -> None:
        """Begin the ledger again, with the rows that still hold, if the settings changed since the interruption."""
        if self._ledger.settings == self._remembered:
            return
        doubted = doubted_statuses(self._ledger.settings, self._remembered)
        holding = [row for row in self._ledger.rows() if row.status not in doubted]
        self._ledger.begin(base, self._remembered)
        for row in holding:
            self._ledger.append(row)

    def _continue_shard(self, written: pa.Table) -> None:
        """Reopen the shard that an interrupted crawl was writing, cut back to its last recorded byte.

        `written` are the rows whose records it wrote: a shard that the manifest names is never opened again.
        """
        last = pc.max(written["shard"]).as_py()
        if last is None:
            return
        rows = written.filter(pc.equal(written["shard"], last))
        end = pc.max(pc.add(rows["offset"], rows["length"])).as_py()
        self._writer = ShardWriter(self._files.folder / last, end)
        self._num_in_shard = rows.num_rows

    def _shard(self) -> ShardWriter:
        """The shard that takes the next record."""
        if self._writer is None or self._num_in_shard >= self._settings.records_per_shard:
            with self._lock:
                if self._writer:
                    self._writer.sync()
                    self._writer.close()
                self._writer = ShardWriter(self._files.folder / self._files.name(self._files.next_number()))
                self._num_in_shard = 0
        return self._writer

    def _replace_manifest(self) -> pa.Table:
        """Shards first, then the manifest, then the deletion of what it no longer names."""
        pa.system_memory_pool().release_unused()  # what bodies and pixels have taken: 20,000 rows need the room
        if self._writer:
            self._writer.sync()
        manifest = merge(self.photos, self._manifest, self._recorded.table())
        manifest = compact(self._files, manifest, self._settings.records_per_shard)
        manifest = manifest.replace_schema_metadata(self._remembered)
        store.sync_folder(self._files.folder)
        store.write_table(self.bucket.directory / MANIFEST, manifest)
        self._files.delete_unnamed(named_shards(manifest))
        return manifest

    def _close_writer(self) -> None:
        self._is_closed = True
        if self._writer:
            self._writer.close()


def read_manifest(path: Path) -> tuple[pa.Table, str]:
    """(the manifest, its hash), or an empty one. Raises InputError if it is of another version."""
    if not path.exists():
        return empty_manifest(), "none"
    table = store.read_table(path)
    if table.schema.names != MANIFEST_SCHEMA.names:
        raise InputError(
            f"{path}: its columns are {', '.join(table.schema.names)}; expected {', '.join(MANIFEST_SCHEMA.names)}. "
            f"It was written by another version: move it away to crawl this bucket anew"
        )
    metadata = table.schema.metadata
    return table.cast(MANIFEST_SCHEMA.with_metadata(metadata)), hashlib.sha256(path.read_bytes()).hexdigest()


def readable_rows(manifest: pa.Table, sizes: Mapping[str, int]) -> pa.Table:
    """The rows without a record, or with one that lies within a shard that is there (`sizes`: name -> bytes)."""
    number = pc.index_in(manifest["shard"], pa.array([*sizes], pa.string())).combine_chunks()
    size = pa.chunked_array([pa.array([*sizes.values()], pa.int64()).take(number)])
    is_there = pc.greater_equal(size, pc.add(manifest["offset"], manifest["length"]))
    return manifest.filter(pc.or_(pc.is_null(manifest["shard"]), pc.fill_null(is_there, False)))


def _is_whole(folder: Path, sizes: Mapping[str, int], row: ManifestRow, *, is_durable: bool) -> bool:
    """Whether a row of the ledger speaks of a record that is there, as it was when it was recorded."""
    if row.shard is None or row.offset is None or row.length is None:
        return True
    if sizes.get(row.shard, -1) < row.offset + row.length:
        return False
    if is_durable:
        return True
    path = folder / row.shard
    with path.open("rb") as stream:
        stream.seek(row.offset)
        packed = stream.read(row.length)
    try:
        photo_id, image = unpack_record(packed, path, row.offset)
    except DamagedRecordError:
        return False
    return photo_id == row.photo_id and hashlib.sha256(image).hexdigest() == row.image_sha256
