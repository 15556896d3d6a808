"""Counting while a crawl runs: requests, bytes, time and outcomes, together and for each origin.

Not here: the records that are handed out (progress.py). The one idea: a list can name a million hosts, so only the
origins that took the most time are kept apart, and the rest is added up as one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from geo_pipeline.crawl.progress import OTHER_ORIGINS, OriginFigures
from geo_pipeline.shards.manifest import Status

KEPT_ORIGINS = 256
"""Origins that stay apart when there are twice as many."""


@dataclass(slots=True)
class _Count:
    """Running figures of one origin, or of all together."""

    requests: int = 0
    bytes_received: int = 0
    seconds: float = 0.0
    outcomes: Counter[Status] = field(default_factory=Counter)

    def add(self, other: _Count) -> None:
        self.requests += other.requests
        self.bytes_received += other.bytes_received
        self.seconds += other.seconds
        self.outcomes.update(other.outcomes)

    def figures(self) -> OriginFigures:
        return OriginFigures(self.requests, self.bytes_received, self.seconds, dict(self.outcomes))


class Tally:
    """Figures of a crawl or of one of its buckets.

    An origin that was added to the others and is asked again begins anew: its figures are then too low, and those of
    the others too high, while every sum is right.
    """

    def __init__(self) -> None:
        self.total = _Count()
        self._origins: dict[str, _Count] = {}
        self._other = _Count()

    def count_request(self, origin: str, bytes_received: int, seconds: float) -> None:
        """Count a request that has ended; `seconds` from asking to the end of its answer."""
        for count in (self.total, self._of(origin)):
            count.requests += 1
            count.bytes_received += bytes_received
            count.seconds += seconds

    def count_outcome(self, origin: str | None, status: Status) -> None:
        """Count a photo's outcome; `origin` is None if its URL has none."""
        self.total.outcomes[status] += 1
        (self._other if origin is None else self._of(origin)).outcomes[status] += 1

    def origins(self) -> dict[str, OriginFigures]:
        """Figures by origin; those that are not kept apart stand under OTHER_ORIGINS."""
        figures = {origin: count.figures() for origin, count in self._origins.items()}
        if self._other.requests or self._other.outcomes:
            figures[OTHER_ORIGINS] = self._other.figures()
        return figures

    def _of(self, origin: str) -> _Count:
        count = self._origins.get(origin)
        if count is None:
            if len(self._origins) >= 2 * KEPT_ORIGINS:
                self._forget()
            count = self._origins[origin] = _Count()
        return count

    def _forget(self) -> None:
        """Add half of the origins to the others: those that took the least time."""
        by_time = sorted(self._origins.items(), key=lambda item: item[1].seconds)
        for origin, count in by_time[:KEPT_ORIGINS]:
            self._other.add(count)
            del self._origins[origin]
