"""The manifest: one row for each photo of a list, with the outcome of its download.

Here live the closed vocabulary of outcomes and the columns of the table. Who decides an outcome is
geo_pipeline.crawl's business. The one idea: the manifest is the only truth about what was downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

import pyarrow as pa


class Status(StrEnum):
    """The outcome of one photo."""

    OK = "ok"
    """Stored in a shard."""
    NOT_FOUND = "not_found"
    """404; in a folder of pictures: no such file."""
    GONE = "gone"
    """410, or vanished at a refresh."""
    FORBIDDEN = "forbidden"
    """401, 403 and every other 4xx."""
    THROTTLED = "throttled"
    """429 to the last retry."""
    DEFERRED = "deferred"
    """Postponed by Retry-After, the breaker or robots 5xx; `next_attempt_at` says till when."""
    SERVER_ERROR = "server_error"
    """5xx to the last retry."""
    TIMEOUT = "timeout"
    """The total deadline of the request passed."""
    TOO_SLOW = "too_slow"
    """Head or body came slower than the minimum rate."""
    CONNECTION = "connection"
    """Refused, reset or closed before the head of an answer was whole; TLS or DNS failure."""
    PROTOCOL_ERROR = "protocol_error"
    """The answer is not proper HTTP."""
    TRUNCATED = "truncated"
    """The body ended before its announced end."""
    REDIRECT_ERROR = "redirect_error"
    """A redirect without a usable target, in a loop, or one too many."""
    BLOCKED_ADDRESS = "blocked_address"
    """The host, or a redirect's host, has no public address and is no allowed origin."""
    INVALID_URL = "invalid_url"
    """Not an http(s) URL; in a folder of pictures: a path that leaves the folder."""
    ROBOTS_DISALLOWED = "robots_disallowed"
    """robots.txt forbids it."""
    OPTED_OUT = "opted_out"
    """X-Robots-Tag or tdm-reservation forbids this use."""
    REMOVED = "removed"
    """Named in the removal list."""
    EMPTY = "empty"
    """A success without a body."""
    NOT_AN_IMAGE = "not_an_image"
    """No known picture format."""
    CORRUPT = "corrupt"
    """A known format that cannot be decoded to its end."""
    TOO_SMALL = "too_small"
    """The short side is below the minimum."""
    TOO_LARGE = "too_large"
    """More bytes than allowed."""
    BOMB = "bomb"
    """More pixels than allowed, or a compressed body that grows beyond the allowed bytes."""
    PLACEHOLDER = "placeholder"
    """A 'photo unavailable' picture instead of the photo."""
    PENDING = "pending"
    """Not tried yet."""

    @property
    def is_retried(self) -> bool:
        """Whether a later crawl asks again once `next_attempt_at` has come."""
        return self in _RETRIED

    @property
    def depends_on_limits(self) -> bool:
        """Whether other settings could have given another outcome for the same answer."""
        return self in _LIMITED


_RETRIED = frozenset(
    {
        Status.THROTTLED,
        Status.DEFERRED,
        Status.SERVER_ERROR,
        Status.TIMEOUT,
        Status.TOO_SLOW,
        Status.CONNECTION,
        Status.PROTOCOL_ERROR,
        Status.TRUNCATED,
        Status.ROBOTS_DISALLOWED,
        Status.PENDING,
    }
)
_LIMITED = frozenset(
    {Status.BLOCKED_ADDRESS, Status.TOO_SMALL, Status.TOO_LARGE, Status.BOMB, Status.PLACEHOLDER, Status.REDIRECT_ERROR}
)

_TIME = pa.timestamp("us", tz="UTC")

MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("photo_id", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        ("http_status", pa.int32()),
        pa.field("attempts", pa.int32(), nullable=False),
        ("fetched_at", _TIME),
        ("next_attempt_at", _TIME),
        ("final_url", pa.string()),
        ("etag", pa.string()),
        ("last_modified", pa.string()),
        pa.field("bytes_received", pa.int64(), nullable=False),
        ("source_sha256", pa.string()),
        ("image_sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("error", pa.string()),
    ]
)
"""The manifest's columns: `shard` is a file name in the bucket's folder; `offset` and `length` span a whole record."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One photo's row; fields as the columns of MANIFEST_SCHEMA."""

    photo_id: str
    url: str
    status: Status
    http_status: int | None = None
    attempts: int = 0
    fetched_at: datetime | None = None
    next_attempt_at: datetime | None = None
    final_url: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    bytes_received: int = 0
    source_sha256: str | None = None
    image_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    shard: str | None = None
    offset: int | None = None
    length: int | None = None
    error: str | None = None


def manifest_table(rows: Iterable[ManifestRow]) -> pa.Table:
    """The rows as a table with exactly the columns of MANIFEST_SCHEMA."""
    listed = list(rows)
    columns = {field.name: [getattr(row, field.name) for row in listed] for field in fields(ManifestRow)}
    return pa.Table.from_pydict(columns, schema=MANIFEST_SCHEMA)


def empty_manifest() -> pa.Table:
    """A manifest without rows."""
    return MANIFEST_SCHEMA.empty_table()
