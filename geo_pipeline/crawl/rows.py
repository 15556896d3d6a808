"""From a photo's way through a crawl to its row in the manifest. Pure functions; no files, no network."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from geo_pipeline.crawl.decisions import Outcome, Visit
from geo_pipeline.crawl.fetching import Reply
from geo_pipeline.crawl.photo import RefusedPictureError, StoredPicture
from geo_pipeline.shards.manifest import ManifestRow

Owner = TypeVar("Owner")


def outcome_row(
    visit: Visit[Owner],
    reply: Reply | None,
    outcome: Outcome | RefusedPictureError,
    now: datetime,
    picture: StoredPicture | None = None,
) -> ManifestRow:
    """The row of a photo whose crawl has ended: `reply` is the last answer, None if it was deferred without asking."""
    pause = outcome.pause_seconds if isinstance(outcome, Outcome) else None
    tries = visit.attempts if reply else visit.attempts - 1
    return ManifestRow(
        visit.photo_id,
        visit.url,
        outcome.status,
        http_status=reply.http_status if reply else None,
        attempts=visit.earlier_attempts + tries,
        fetched_at=now if reply else None,
        next_attempt_at=None if pause is None else now + timedelta(seconds=pause),
        final_url=str(visit.target),
        etag=reply.etag if reply else None,
        last_modified=reply.last_modified if reply else None,
        bytes_received=reply.bytes_received if reply else 0,
        source_sha256=_source_sha256(outcome, picture),
        image_sha256=picture.image_sha256 if picture else None,
        width=picture.width if picture else None,
        height=picture.height if picture else None,
        error=str(outcome) if isinstance(outcome, RefusedPictureError) else outcome.error,
    )


def unchanged_row(visit: Visit[Owner], known: ManifestRow, reply: Reply, now: datetime) -> ManifestRow:
    """The row of a stored photo that has not changed: the same picture in the same place, seen again."""
    return replace(
        known,
        attempts=visit.attempts,
        fetched_at=now,
        etag=reply.etag or known.etag,
        last_modified=reply.last_modified or known.last_modified,
        error=None,
    )


def _source_sha256(outcome: Outcome | RefusedPictureError, picture: StoredPicture | None) -> str | None:
    """The hash of the body: a refused picture has one as well."""
    if isinstance(outcome, RefusedPictureError):
        return outcome.source_sha256
    return picture.source_sha256 if picture else None
