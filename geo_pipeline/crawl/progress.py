"""What a crawl reports while it runs and when a bucket is finished. Plain records; showing them is for others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from geo_pipeline.shards.manifest import Status


@dataclass(frozen=True)
class CrawlProgress:
    """How far a crawl is: counts since its start, over all its buckets.

    `photos_total` counts the lists, `photos_done` what has an outcome (found settled, or asked for in this crawl),
    `outcomes` what was asked for, by status.
    """

    seconds: float
    photos_total: int
    photos_done: int
    buckets_total: int
    buckets_done: int
    requests: int
    bytes_received: int
    outcomes: Mapping[Status, int]


@dataclass(frozen=True)
class BucketResult:
    """A finished bucket: its manifest, what it cost and whether anything changed; or the error that stopped it.

    `requests` counts HTTP requests, hops and retries included (for a folder of pictures: files read).
    """

    key: str
    manifest: pa.Table | None
    requests: int
    bytes_received: int
    changed: bool
    error: Exception | None = None
