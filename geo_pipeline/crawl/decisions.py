"""What follows from a reply: another hop, another try, or the photo's outcome.

Pure functions of a visit, a reply, the settings and one random number; nothing here waits, asks or writes. The one
idea: every rule of retrying and of redirects stands in this module, once. What an origin learns from a reply is in
`politeness.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from yarl import URL

from geo_pipeline.crawl.fetching import Reply
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.urls import InvalidUrlError, join_url, matches_any
from geo_pipeline.shards.manifest import ManifestRow, Status

MAX_PAUSE_SECONDS = 30 * 86_400.0
"""A photo that keeps failing is asked for at least this often."""

_PASSING = frozenset(
    {
        Status.THROTTLED,
        Status.SERVER_ERROR,
        Status.TIMEOUT,
        Status.TOO_SLOW,
        Status.CONNECTION,
        Status.PROTOCOL_ERROR,
        Status.TRUNCATED,
    }
)
"""Failures that another try may not meet."""

Owner = TypeVar("Owner")


@dataclass(frozen=True, slots=True)
class Visit(Generic[Owner]):
    """A photo on its way: whose it is, the URL to ask next and what was tried.

    `url` is the URL as listed, `start` the one asked first, `target` the one asked next. `attempts` counts the tries
    of this crawl, this one included, and `earlier_attempts` those of crawls before; a hop is part of its try. `known`
    is the row of a stored photo that is only asked whether it has changed.
    """

    owner: Owner
    photo_id: str
    url: str
    start: URL
    target: URL
    earlier_attempts: int = 0
    attempts: int = 1
    trail: tuple[URL, ...] = field(default=())
    known: ManifestRow | None = None


@dataclass(frozen=True, slots=True)
class Again(Generic[Owner]):
    """Ask once more, after `wait_seconds`; the whole origin waits for `hold_seconds`."""

    visit: Visit[Owner]
    wait_seconds: float = 0.0
    hold_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The photo's outcome for this crawl; `pause_seconds` until a later crawl may ask again, None for never."""

    status: Status
    error: str | None = None
    pause_seconds: float | None = None
    hold_seconds: float = 0.0


def decide(visit: Visit[Owner], reply: Reply, settings: CrawlSettings, jitter: float) -> Again[Owner] | Outcome:
    """What follows from `reply`; `jitter` is a random number in [0, 1)."""
    if reply.location is not None:
        return _follow(visit, reply.location, settings)
    if reply.status is Status.NOT_FOUND and visit.known:
        return Outcome(Status.GONE, f"{reply.error}; it was there before")
    if reply.status not in _PASSING:
        return Outcome(reply.status, reply.error)
    asked = reply.retry_after
    if asked is not None and asked > settings.max_retry_wait_seconds:
        return Outcome(Status.DEFERRED, reply.error, pause_seconds=asked, hold_seconds=asked)
    wait, hold = asked or backoff_seconds(visit.attempts, settings, jitter), asked or 0.0
    if visit.attempts > settings.retries:
        return Outcome(reply.status, reply.error, pause_seconds=pause_seconds(visit, settings), hold_seconds=hold)
    again = replace(visit, target=visit.start, attempts=visit.attempts + 1, trail=())
    return Again(again, wait_seconds=wait, hold_seconds=hold)


def backoff_seconds(attempts: int, settings: CrawlSettings, jitter: float) -> float:
    """Seconds before try number `attempts + 1`: doubled each time, from half of it to all of it by `jitter`."""
    longest = min(settings.backoff_seconds * 2.0 ** (attempts - 1), settings.max_retry_wait_seconds)
    return longest * (0.5 + jitter / 2)


def pause_seconds(visit: Visit[Owner], settings: CrawlSettings) -> float:
    """Seconds until a later crawl asks again, doubled for each crawl that failed before."""
    failed_crawls = visit.earlier_attempts // (settings.retries + 1)
    return min(settings.failure_pause_seconds * 2.0 ** min(failed_crawls, 30), MAX_PAUSE_SECONDS)


def _follow(visit: Visit[Owner], location: str, settings: CrawlSettings) -> Again[Owner] | Outcome:
    """One hop further, unless the target is no photo's place."""
    try:
        target = join_url(visit.target, location)
    except InvalidUrlError as error:
        return Outcome(Status.REDIRECT_ERROR, f"redirect to {location[:200]!r}: {error}"[:300])
    if matches_any(str(target), settings.placeholder_urls):
        return Outcome(Status.PLACEHOLDER, f"redirect to {target}"[:300])
    trail = (*visit.trail, visit.target)
    if target in trail:
        return Outcome(Status.REDIRECT_ERROR, f"redirects in a loop by way of {target}"[:300])
    if len(trail) > settings.max_redirects:
        return Outcome(Status.REDIRECT_ERROR, f"more than {settings.max_redirects} redirects")
    return Again(replace(visit, target=target, trail=trail))
