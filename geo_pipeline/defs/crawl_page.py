"""What the Dagster page says of a crawl: observations while a bucket is in work, metadata when it is finished.

Not here: the crawl, and the bar on a terminal (crawl room). The one idea: an observation carries the partition of its
bucket, so that it stands on the page of the bucket that is running; one without a partition tells of all together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa

from geo_pipeline.defs.pictures import markdown_table

if TYPE_CHECKING:
    from geo_pipeline.crawl.progress import BucketProgress, BucketResult, CrawlProgress, OriginFigures

ASSET = "photo_shards"
FIRST_SECONDS = 3.0
EVERY_SECONDS = 10.0
LONGEST_SECONDS = 60.0
SLOWEST_SHOWN = 10


class Observer:
    """Logs observations of a running crawl.

    The first comes at once, the next every 10 seconds, in a crawl of hours once a minute: a crawl of days would leave
    more events than anybody can read.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        from geo_pipeline.crawl.bar import Pace

        self._context = context
        self._next = FIRST_SECONDS
        self._pace = Pace()
        self._paces: dict[str, Pace] = defaultdict(Pace)

    def report(self, progress: CrawlProgress) -> None:
        """Log how far the crawl and each of its buckets is, if it is time to."""
        if progress.seconds < self._next:
            return
        self._next = progress.seconds + min(max(EVERY_SECONDS, progress.seconds / 60), LONGEST_SECONDS)
        slowest = slowest_hosts(progress.origins)
        self._log(None, {**self._numbers(progress), **outcome_numbers(progress), **slowest})
        for bucket in progress.buckets:
            pace = self._paces[bucket.key].photos_per_second(progress.seconds, bucket.photos_asked)
            numbers = _counts(bucket) | {"photos_per_second": pace}
            self._log(bucket.key, {**numbers, **outcome_numbers(bucket), **slowest})

    def _numbers(self, progress: CrawlProgress) -> dict[str, object]:
        from geo_pipeline.crawl.bar import seconds_left

        pace = self._pace.photos_per_second(progress.seconds, progress.photos_asked)
        left = seconds_left(progress, pace)
        buckets: dict[str, object] = {"buckets_done": progress.buckets_done, "buckets_total": progress.buckets_total}
        minutes = {} if left is None else {"minutes_left": left / 60}
        return {**_counts(progress), **buckets, "photos_per_second": pace, **minutes}

    def _log(self, bucket: str | None, metadata: Mapping[str, object]) -> None:
        self._context.log_event(dg.AssetObservation(ASSET, partition=bucket, metadata=metadata))  # type: ignore[arg-type]


def bucket_metadata(result: BucketResult) -> Mapping[str, object]:
    """What the page says of a finished bucket."""
    from geo_pipeline.crawl.summary import count_by_host, outcomes_by_host

    manifest = result.manifest
    outcomes = Counter(manifest["status"].to_pylist()).most_common() if manifest else []
    table = pa.table({"status": [name for name, _ in outcomes], "photos": [count for _, count in outcomes]})
    asked = sum(sum(each.outcomes.values()) for each in result.origins.values())
    return {
        "dagster/partition_row_count": dict(outcomes).get("ok", 0),
        "outcomes": markdown_table(table),
        "listed": sum(count for _, count in outcomes),
        "requests": result.requests,
        "bytes_received": result.bytes_received,
        **({"outcomes_by_host": markdown_table(outcomes_by_host(count_by_host(manifest)))} if manifest else {}),
        **({"photos_per_second": asked / result.seconds, "seconds": result.seconds} if asked else {}),
        **slowest_hosts(result.origins),
    }


def slowest_hosts(origins: Mapping[str, OriginFigures]) -> dict[str, object]:
    """The hosts that take longest to answer, as a table; nothing if none was asked."""
    from geo_pipeline.crawl.bar import short
    from geo_pipeline.crawl.progress import slowest_origins

    rows = [
        {"host": short(origin), "seconds": each.mean_seconds, "requests": each.requests, "bytes": each.bytes_received}
        for origin, each in slowest_origins(origins, SLOWEST_SHOWN)
    ]
    return {"slowest_hosts": markdown_table(pa.Table.from_pylist(rows))} if rows else {}


def outcome_numbers(progress: CrawlProgress | BucketProgress) -> dict[str, object]:
    """Counts of outcomes as numbers, of which the page draws curves."""
    return {f"outcome_{status}": count for status, count in progress.outcomes.items()}


def _counts(progress: CrawlProgress | BucketProgress) -> dict[str, object]:
    return {name: getattr(progress, name) for name in ("photos_done", "photos_total", "requests", "bytes_received")}
