"""What is due: which photos of a list a crawl must ask for, given what is known already.

Pure functions of tables and a moment. The one idea: a photo is settled by a row with its id *and its URL*, from the
ledger of an interrupted crawl or else from the manifest; whatever has no such row, or one whose time for another try
has come, is due. A stored photo never makes way for a failure that may pass: it stays and waits for the next try.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.errors import InputError
from geo_pipeline.shards.manifest import MANIFEST_SCHEMA, Status

_PASSING = frozenset(status for status in Status if status.is_retried) - {Status.ROBOTS_DISALLOWED}
"""Failures that say nothing against a stored photo; a site's wish does."""


@dataclass(frozen=True)
class Plan:
    """What a crawl does with a list.

    `due` has `photo_id, url, attempts` (those of earlier crawls) for each photo to ask for, in the order of the list.
    `num_listed` counts the list; `is_settled` says that the manifest needs no change.
    """

    due: pa.Table
    num_listed: int
    is_settled: bool


def plan(
    photos: pa.Table, manifest: pa.Table, recorded: pa.Table, now: datetime, *, doubted: Collection[Status]
) -> Plan:
    """Compare a list with the manifest and with the rows recorded by an interrupted crawl.

    `photos` has `photo_id, url`; the other two have the manifest's columns. Photos with a `doubted` status in the
    manifest are due again, unless their next attempt is to come later. Raises InputError for a doubled photo id.
    """
    _check_ids(photos)
    known = _known_rows(photos, manifest)
    status = known["status"]
    next_attempt = known["next_attempt_at"]
    again = _statuses({status for status in Status if status.is_retried} | set(doubted))
    never_again = pc.invert(pc.or_(pc.is_in(status, again), pc.is_valid(next_attempt)))
    too_early = pc.fill_null(pc.greater(next_attempt, pa.scalar(now, next_attempt.type)), False)
    settled = pc.and_(pc.is_valid(status), pc.or_(never_again, too_early))
    settled = pc.or_(settled, pc.is_valid(_known_rows(photos, recorded)["status"]))
    is_due = pc.invert(settled)
    due = photos.select(["photo_id", "url"]).append_column("attempts", pc.fill_null(known["attempts"], 0))
    due = due.filter(is_due)
    unchanged = due.num_rows == 0 and recorded.num_rows == 0 and photos.num_rows == manifest.num_rows
    return Plan(due, photos.num_rows, unchanged)


def merge(photos: pa.Table, manifest: pa.Table, recorded: pa.Table) -> pa.Table:
    """The new manifest: a row for each listed photo in the list's order; recorded rows win over the manifest's.

    A recorded failure that may pass leaves a stored photo as it is and only says when to try again. Every listed photo
    must be in one of the tables; one that is no longer listed, or was known under another URL, has no row.
    """
    recorded = _keep_stored(manifest, recorded)
    by_manifest = pc.add(_indices(photos, manifest), recorded.num_rows)
    indices = pc.coalesce(_indices(photos, recorded), by_manifest)
    assert indices.null_count == 0, "a finished crawl has an outcome for every photo"  # noqa: S101 an invariant of ours
    return pa.concat_tables([recorded, manifest]).take(indices).combine_chunks()


def _keep_stored(manifest: pa.Table, recorded: pa.Table) -> pa.Table:
    """The recorded rows, where a passing failure would replace a stored photo that photo's row with the next try."""
    stored = _known_rows(recorded, manifest)
    failed = pc.is_in(recorded["status"], _statuses(_PASSING))
    keeps = pc.and_(failed, pc.fill_null(pc.equal(stored["status"], Status.OK.value), False))
    why = pc.binary_join_element_wise("kept, the last try to replace it ended in", recorded["status"], " ")
    tried = {"attempts": recorded["attempts"], "next_attempt_at": recorded["next_attempt_at"], "error": why}
    columns = [pc.if_else(keeps, tried.get(name, stored[name]), recorded[name]) for name in MANIFEST_SCHEMA.names]
    return pa.table(columns, schema=MANIFEST_SCHEMA)


def _known_rows(photos: pa.Table, known: pa.Table) -> pa.Table:
    """For each listed photo its row in `known` (same id and URL), or nulls."""
    return known.take(_indices(photos, known))


def _indices(photos: pa.Table, known: pa.Table) -> pa.Array:
    """For each listed photo the index of its row in `known`, null if it has none with the same URL."""
    ids = known["photo_id"].combine_chunks()
    indices = pc.index_in(photos["photo_id"].combine_chunks(), ids).cast(pa.int32())
    same_url = pc.equal(known["url"].take(indices), photos["url"])
    return pc.if_else(pc.fill_null(same_url, False), indices, pa.scalar(None, pa.int32())).combine_chunks()


def _statuses(chosen: Collection[Status]) -> pa.Array:
    return pa.array([status.value for status in chosen], MANIFEST_SCHEMA.field("status").type)


def _check_ids(photos: pa.Table) -> None:
    counts = photos["photo_id"].value_counts()
    doubled = [c["values"].as_py() for c in counts if c["counts"].as_py() > 1] if len(counts) < photos.num_rows else []
    if doubled:
        raise InputError(f"URL list: photo id {doubled[0]!r} stands in it more than once; every id must be unique")
