"""What is due: which photos of a list a crawl must ask for, given what is known already.

Pure functions of tables and a moment. The one idea: a photo is settled by a row with its id *and its URL*, from the
ledger of an interrupted crawl or else from the manifest; whatever has no such row, or only a failure whose time has
come, is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.errors import InputError
from geo_pipeline.shards.manifest import MANIFEST_SCHEMA, Status


@dataclass(frozen=True)
class Plan:
    """What a crawl does with a list.

    `due` has `photo_id, url, attempts` (those of earlier crawls) for each photo to ask for, in the order of the list.
    `num_listed` counts the list; `is_settled` says that the manifest needs no change.
    """

    due: pa.Table
    num_listed: int
    is_settled: bool


def plan(photos: pa.Table, manifest: pa.Table, recorded: pa.Table, now: datetime, *, limits_changed: bool) -> Plan:
    """Compare a list with the manifest and with the rows recorded by an interrupted crawl.

    `photos` has `photo_id, url`; the other two have the manifest's columns. With `limits_changed`, photos that were
    refused because of a limit are due again. Raises InputError for a doubled photo id.
    """
    _check_ids(photos)
    known = _known_rows(photos, manifest)
    status = known["status"]
    never_again = pc.invert(pc.is_in(status, _statuses(retried=True)))
    too_early = pc.fill_null(pc.greater(known["next_attempt_at"], pa.scalar(now, known["next_attempt_at"].type)), False)
    settled = pc.and_(pc.is_valid(status), pc.or_(never_again, too_early))
    if limits_changed:
        settled = pc.and_(settled, pc.invert(pc.is_in(status, _statuses(limited=True))))
    settled = pc.or_(settled, pc.is_valid(_known_rows(photos, recorded)["status"]))
    is_due = pc.invert(settled)
    due = photos.select(["photo_id", "url"]).append_column("attempts", pc.fill_null(known["attempts"], 0))
    due = due.filter(is_due)
    unchanged = due.num_rows == 0 and recorded.num_rows == 0 and photos.num_rows == manifest.num_rows
    return Plan(due, photos.num_rows, unchanged)


def merge(photos: pa.Table, manifest: pa.Table, recorded: pa.Table) -> pa.Table:
    """The new manifest: a row for each listed photo in the list's order; recorded rows win over the manifest's.

    Every listed photo must be in one of them; one that is no longer listed, or was known under another URL, has no row.
    """
    by_manifest = pc.add(_indices(photos, manifest), recorded.num_rows)
    indices = pc.coalesce(_indices(photos, recorded), by_manifest)
    assert indices.null_count == 0, "a finished crawl has an outcome for every photo"  # noqa: S101 an invariant of ours
    return pa.concat_tables([recorded, manifest]).take(indices).combine_chunks()


def _known_rows(photos: pa.Table, known: pa.Table) -> pa.Table:
    """For each listed photo its row in `known` (same id and URL), or nulls."""
    return known.take(_indices(photos, known))


def _indices(photos: pa.Table, known: pa.Table) -> pa.Array:
    """For each listed photo the index of its row in `known`, null if it has none with the same URL."""
    ids = known["photo_id"].combine_chunks()
    indices = pc.index_in(photos["photo_id"].combine_chunks(), ids).cast(pa.int32())
    same_url = pc.equal(known["url"].take(indices), photos["url"])
    return pc.if_else(pc.fill_null(same_url, False), indices, pa.scalar(None, pa.int32())).combine_chunks()


def _statuses(*, retried: bool = False, limited: bool = False) -> pa.Array:
    """The statuses that are retried, or those that depend on limits."""
    chosen = [s.value for s in Status if (retried and s.is_retried) or (limited and s.depends_on_limits)]
    return pa.array(chosen, MANIFEST_SCHEMA.field("status").type)


def _check_ids(photos: pa.Table) -> None:
    counts = photos["photo_id"].value_counts()
    doubled = [c["values"].as_py() for c in counts if c["counts"].as_py() > 1] if len(counts) < photos.num_rows else []
    if doubled:
        raise InputError(f"URL list: photo id {doubled[0]!r} stands in it more than once; every id must be unique")
