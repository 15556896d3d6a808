"""What is due: which photos of a list a crawl must ask for, given what is known already.

Pure functions of tables and a moment. The one idea: a photo is settled by a row with its id *and its URL*, from the
ledger of an interrupted crawl or else from the manifest; whatever has no such row, or one whose time for another try
has come, is due. A stored photo never makes way for a failure that may pass, or for an answer that is no picture: it
stays and waits for the next try. A photo that must not be kept (`removed` in the list) is never due and never stored.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.errors import InputError
from geo_pipeline.shards.manifest import MANIFEST_SCHEMA, Status

_PASSING = frozenset(status for status in Status if status.is_retried) - {Status.ROBOTS_DISALLOWED}
"""Failures that may pass; a site's wish is none."""

_NO_PICTURE = frozenset({Status.EMPTY, Status.NOT_AN_IMAGE, Status.CORRUPT})
"""Answers without a picture: like passing failures they say nothing against a photo that was stored before."""


KEPT = "kept, the last try to replace it ended in"
"""How the error of a stored photo begins that outlived a failure; the status of that failure follows."""


@dataclass(frozen=True)
class Plan:
    """What a crawl does with a list.

    `due` has `photo_id, url, attempts` (those of earlier crawls) for each photo to ask for, in the order of the list,
    and `stored`: the index of its row in the manifest where a stored photo is only asked whether it has changed (its
    attempts count from then on), else null. `num_listed` counts the list; `is_settled` says that the manifest needs no
    change.
    """

    due: pa.Table
    num_listed: int
    is_settled: bool


def plan(
    photos: pa.Table,
    manifest: pa.Table,
    recorded: pa.Table,
    now: datetime,
    *,
    doubted: Collection[Status],
    refresh_after: timedelta | None = None,
) -> Plan:
    """Compare a list with the manifest and with the rows recorded by an interrupted crawl.

    `photos` has `photo_id, url` and, where some must not be kept, `removed` (bool); the other two have the manifest's
    columns. Photos with a `doubted` status in the manifest are due again, unless their next attempt is to come later;
    stored ones that were fetched `refresh_after` ago are due to be asked for changes. Raises InputError for a doubled
    photo id.
    """
    _check_ids(photos)
    rows = _indices(photos, manifest)
    known = manifest.take(rows)
    removed, was_removed = removed_photos(photos), _is(known["status"], {Status.REMOVED})
    ages = _is_old(known, now, refresh_after)
    settled = pc.or_(pc.and_not(_is_settled(known, now, doubted), pc.or_(ages, was_removed)), removed)
    settled = pc.or_(settled, pc.is_valid(_known_rows(photos, recorded)["status"]))
    is_due = pc.invert(settled)
    revalidates = pc.and_not(ages, _is(known["status"], doubted))
    attempts = pc.if_else(revalidates, 0, pc.fill_null(known["attempts"], 0))
    due = photos.select(["photo_id", "url"]).append_column("attempts", attempts)
    due = due.append_column("stored", pc.if_else(revalidates, rows, pa.scalar(None, pa.int32()))).filter(is_due)
    is_same = photos.num_rows == manifest.num_rows and removed.equals(was_removed)
    return Plan(due, photos.num_rows, is_same and due.num_rows == 0 and recorded.num_rows == 0)


def merge(photos: pa.Table, manifest: pa.Table, recorded: pa.Table) -> pa.Table:
    """The new manifest: a row for each listed photo in the list's order; recorded rows win over the manifest's.

    A recorded failure that may pass, or an answer without a picture, leaves a stored photo as it is and only says when
    to try again. A photo that must not be kept has a row without anything else. Every other listed photo must be in
    one of the tables; one that is no longer listed, or was known under another URL, has no row.
    """
    recorded = _keep_stored(manifest, recorded)
    removed = _removed_rows(photos)
    tables = (removed, recorded, manifest)
    starts = np.cumsum([0, *(table.num_rows for table in tables[:-1])])
    found = [pc.add(_indices(photos, each), int(start)) for each, start in zip(tables, starts, strict=True)]
    indices = pc.coalesce(*found)
    assert indices.null_count == 0, "a finished crawl has an outcome for every photo"  # noqa: S101 an invariant of ours
    return pa.concat_tables(tables).take(indices).combine_chunks()


def removed_photos(photos: pa.Table) -> pa.ChunkedArray:
    """bool[n]: which photos of a list must not be kept."""
    if "removed" in photos.column_names:
        return pc.fill_null(photos["removed"], False)
    return pa.chunked_array([pa.repeat(pa.scalar(False), photos.num_rows)])


def _removed_rows(photos: pa.Table) -> pa.Table:
    """Rows that say of the photos that must not be kept just this."""
    gone = photos.filter(removed_photos(photos))
    said = {
        "photo_id": gone["photo_id"],
        "url": gone["url"],
        "status": pa.repeat(Status.REMOVED.value, gone.num_rows),
        "attempts": pa.repeat(pa.scalar(0, pa.int32()), gone.num_rows),
        "bytes_received": pa.repeat(pa.scalar(0, pa.int64()), gone.num_rows),
    }
    columns = [said.get(field.name, pa.nulls(gone.num_rows, field.type)) for field in MANIFEST_SCHEMA]
    return pa.table(columns, schema=MANIFEST_SCHEMA)


def _is_settled(known: pa.Table, now: datetime, doubted: Collection[Status]) -> pa.ChunkedArray:
    """bool[n]: whether a photo's row in the manifest (nulls: none) needs no new attempt now."""
    again = {status for status in Status if status.is_retried} | set(doubted)
    next_attempt = known["next_attempt_at"]
    never_again = pc.invert(pc.or_(_is(known["status"], again), pc.is_valid(next_attempt)))
    too_early = pc.fill_null(pc.greater(next_attempt, pa.scalar(now, next_attempt.type)), False)
    return pc.and_(pc.is_valid(known["status"]), pc.or_(never_again, too_early))


def _is_old(known: pa.Table, now: datetime, refresh_after: timedelta | None) -> pa.ChunkedArray:
    """bool[n]: whether a photo is stored, waits for no attempt and was fetched long enough ago."""
    fetched = known["fetched_at"]
    if refresh_after is None:
        return pa.chunked_array([pa.repeat(pa.scalar(False), known.num_rows)])
    is_old = pc.fill_null(pc.less_equal(fetched, pa.scalar(now - refresh_after, fetched.type)), False)
    return pc.and_(pc.and_(_is(known["status"], {Status.OK}), pc.is_null(known["next_attempt_at"])), is_old)


def _keep_stored(manifest: pa.Table, recorded: pa.Table) -> pa.Table:
    """The recorded rows, where a failure would replace a stored photo that photo's row with the next try."""
    stored = _known_rows(recorded, manifest)
    keeps = pc.and_(_is(recorded["status"], _PASSING | _NO_PICTURE), _is(stored["status"], {Status.OK}))
    waits = pc.is_valid(recorded["next_attempt_at"])
    tried = {
        "attempts": recorded["attempts"],
        "next_attempt_at": recorded["next_attempt_at"],
        "fetched_at": pc.if_else(waits, stored["fetched_at"], recorded["fetched_at"]),
        "error": pc.binary_join_element_wise(KEPT, recorded["status"], " "),
    }
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


def _is(statuses: pa.ChunkedArray, chosen: Collection[Status]) -> pa.ChunkedArray:
    """bool[n]: which statuses are among some."""
    return pc.is_in(statuses, pa.array([status.value for status in chosen], pa.string()))


def _check_ids(photos: pa.Table) -> None:
    counts = photos["photo_id"].value_counts()
    doubled = [c["values"].as_py() for c in counts if c["counts"].as_py() > 1] if len(counts) < photos.num_rows else []
    if doubled:
        raise InputError(f"URL list: photo id {doubled[0]!r} stands in it more than once; every id must be unique")
