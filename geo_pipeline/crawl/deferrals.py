"""The silences that origins have asked earlier crawls for, and that still hold.

Here lives the reading of them from manifests and ledgers, without a lock. Holding an origin is the frontier's. The one
idea: a silence belongs to an origin, not to a bucket, so all buckets are read before the first request.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.crawl.outlook import recorded_rows
from geo_pipeline.crawl.planning import KEPT
from geo_pipeline.crawl.recorded import Recorded
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import LEDGER, MANIFEST, Bucket
from geo_pipeline.crawl.urls import origin_of, parse_url
from geo_pipeline.shards.manifest import Status, empty_manifest
from geo_pipeline.store import read_columns

_COLUMNS = ["status", "url", "final_url", "next_attempt_at", "error"]


def silences(buckets: Iterable[Bucket], settings: CrawlSettings) -> dict[str, datetime]:
    """Until when each origin must not be asked, by what the buckets' earlier crawls were told.

    A bucket that cannot be read is passed over: opening it will say what is wrong, and stops no other bucket.
    """
    latest: dict[str, datetime] = {}
    for bucket in buckets:
        with suppress(Exception):
            for url, until in _deferrals(bucket, settings):
                origin = origin_of(parse_url(url))
                latest[origin] = max(until, latest.get(origin, until))
    return latest


def _deferrals(bucket: Bucket, settings: CrawlSettings) -> list[tuple[str, datetime]]:
    """(URL, moment) of the photos that are deferred, and of those that were and kept a stored picture.

    What kept its picture does not know which of its URLs was deferred: the listed one or where that once led to.
    """
    manifest = bucket.directory / MANIFEST
    ledger = Recorded(recorded_rows(bucket.directory / LEDGER, settings)).table()
    stored = read_columns(manifest, _COLUMNS) if manifest.exists() else empty_manifest().select(_COLUMNS)
    rows = pa.concat_tables([_deferred(stored), _deferred(ledger.select(_COLUMNS))]).to_pylist()
    found = [(row["final_url"] or row["url"], row["next_attempt_at"]) for row in rows]
    found += [(row["url"], row["next_attempt_at"]) for row in rows if row["status"] == Status.OK.value]
    return [(url, until) for url, until in found if until]


def _deferred(rows: pa.Table) -> pa.Table:
    is_deferred = pc.equal(rows["status"], Status.DEFERRED.value)
    is_kept = pc.fill_null(pc.equal(rows["error"], f"{KEPT} {Status.DEFERRED}"), False)
    return rows.filter(pc.or_(is_deferred, is_kept)).replace_schema_metadata(None)
