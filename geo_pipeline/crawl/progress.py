"""What a crawl reports while it runs and when a bucket is finished. Plain records; showing them is for others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from geo_pipeline.shards.manifest import Status

OTHER_ORIGINS = "other"
"""Stands for all origins that are not kept apart."""


@dataclass(frozen=True, slots=True)
class OriginFigures:
    """What one origin (scheme, host, port) was asked and what came of it.

    `seconds` is the sum over its requests, from asking to the end of the answer. `outcomes` counts the photos for
    which its answer was the last one, by status: after a redirect it is the target's.
    """

    requests: int
    bytes_received: int
    seconds: float
    outcomes: Mapping[Status, int]

    @property
    def mean_seconds(self) -> float:
        """Mean time of a request."""
        return self.seconds / max(self.requests, 1)


@dataclass(frozen=True, slots=True)
class BucketProgress:
    """How far a bucket in work is: `photos_done` of `photos_total` have an outcome, found settled or asked for."""

    key: str
    photos_total: int
    photos_done: int
    requests: int
    bytes_received: int
    outcomes: Mapping[Status, int]

    @property
    def photos_asked(self) -> int:
        """Photos with an outcome that this crawl has brought."""
        return sum(self.outcomes.values())


@dataclass(frozen=True)
class CrawlProgress:
    """How far a crawl is: counts since its start, over all its buckets.

    `photos_total` counts the lists, `photos_done` what has an outcome (found settled, or asked for in this crawl),
    `outcomes` what was asked for, by status. `origins` has some hundreds of origins, those that took the most time,
    and `OTHER_ORIGINS` for the rest. `buckets` are those in work.
    """

    seconds: float
    photos_total: int
    photos_done: int
    buckets_total: int
    buckets_done: int
    requests: int
    bytes_received: int
    outcomes: Mapping[Status, int]
    origins: Mapping[str, OriginFigures] = field(default_factory=dict)
    buckets: tuple[BucketProgress, ...] = ()

    @property
    def photos_asked(self) -> int:
        """Photos with an outcome that this crawl has brought."""
        return sum(self.outcomes.values())

    @property
    def photos_left(self) -> int:
        """Photos without an outcome; of buckets that are not yet opened all."""
        return self.photos_total - self.photos_done


@dataclass(frozen=True)
class BucketResult:
    """A finished bucket: its manifest, what it cost and whether anything changed; or the error that stopped it.

    `requests` counts HTTP requests, hops and retries included (for a folder of pictures: files read); `seconds` is the
    time from its opening to its end, which other buckets share; `origins` is as in CrawlProgress.
    """

    key: str
    manifest: pa.Table | None
    requests: int
    bytes_received: int
    changed: bool
    error: Exception | None = None
    seconds: float = 0.0
    origins: Mapping[str, OriginFigures] = field(default_factory=dict)


def slowest_origins(origins: Mapping[str, OriginFigures], count: int) -> list[tuple[str, OriginFigures]]:
    """Up to `count` named origins with the longest mean time of a request, the slowest first."""
    named = [(origin, figures) for origin, figures in origins.items() if origin != OTHER_ORIGINS and figures.requests]
    return sorted(named, key=lambda item: -item[1].mean_seconds)[:count]
