"""The photos that wait for a request, and which of them is next.

Here lives the queue between planning and fetching. It knows origins and times, not HTTP and not files. The one idea:
nothing sleeps on behalf of one photo. A photo that must wait goes back into the queue, and whoever is free takes
another one, of another origin or of another bucket.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from geo_pipeline.crawl.politeness import Origin

Item = TypeVar("Item")


class Frontier(Generic[Item]):
    """Photos by origin; for one event loop.

    `per_host` bounds the requests in flight to one origin, `capacity` the photos that wait here (further ones stay in
    their table on disk), `horizon` the seconds that a held origin is waited for. `clock` gives the loop's time.
    """

    def __init__(self, *, per_host: int, capacity: int, horizon: float, clock: Callable[[], float]) -> None:
        self._per_host, self._capacity, self._horizon, self._clock = per_host, capacity, horizon, clock
        self._origins: dict[str, Origin[Item]] = {}
        self._ready: deque[Origin[Item]] = deque()
        self._later: list[tuple[float, int, Origin[Item], Item | None]] = []
        self._sequence = itertools.count()
        self._takers: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._is_closed = False
        self.size = 0

    async def room(self) -> None:
        """Return when there is room for another photo."""
        await self._room.wait()

    def add(self, origin_key: str, item: Item, wait_seconds: float = 0.0) -> None:
        """Queue a photo of an origin, to be taken after `wait_seconds` at the earliest."""
        self.size += 1
        if self.size >= self._capacity:
            self._room.clear()
        origin = self._origin(origin_key)
        if wait_seconds > 0:
            origin.num_postponed += 1
            self._postpone(self._clock() + wait_seconds, origin, item)
        else:
            origin.waiting.append(item)
            self._list(origin)

    def hold(self, origin_key: str, seconds: float) -> None:
        """No request to an origin for so many seconds."""
        self._origin(origin_key).hold(self._clock() + seconds)

    def held_seconds(self, origin_key: str) -> float:
        """How long an origin is still held; a taken photo of an origin with a hold must be deferred, not asked for."""
        origin = self._origins.get(origin_key)
        return max(0.0, origin.held_until - self._clock()) if origin else 0.0

    async def take(self) -> Item | None:
        """The next photo that may be asked for, as soon as there is one; None after `close`.

        Its origin counts one more request in flight until `release`.
        """
        while not self._is_closed:
            self._promote()
            item = self._pop()
            if item is not None:
                return item
            await self._wait()
        return None

    def release(self, origin_key: str) -> None:
        """A request to an origin has ended."""
        origin = self._origins[origin_key]
        origin.in_flight -= 1
        if origin.is_idle and origin.held_until <= self._clock():
            del self._origins[origin_key]
        else:
            self._list(origin)

    def close(self) -> None:
        """Let every taker go with None."""
        self._is_closed = True
        if self._timer:
            self._timer.cancel()
        for taker in self._takers:
            if not taker.done():
                taker.set_result(None)

    def _origin(self, key: str) -> Origin[Item]:
        if key not in self._origins:
            self._origins[key] = Origin(key)
        return self._origins[key]

    def _list(self, origin: Origin[Item]) -> None:
        """Give an origin its place in the line (or on the clock) if it can use one and has none."""
        if origin.is_listed or not origin.waiting or origin.in_flight >= self._per_host:
            return
        origin.is_listed = True
        now = self._clock()
        when = origin.may_be_asked_at(now, self._horizon)
        if when > now:
            self._postpone(when, origin, None)
        else:
            self._ready.append(origin)
            self._wake()

    def _pop(self) -> Item | None:
        """The first photo of the first origin in line that may still be asked."""
        while self._ready:
            origin = self._ready.popleft()
            origin.is_listed = False
            if origin.may_be_asked_at(now := self._clock(), self._horizon) > now:
                self._list(origin)  # it was held after it had joined the line
                continue
            item = origin.waiting.popleft()
            origin.in_flight += 1
            self._list(origin)
            self.size -= 1
            if self.size < self._capacity:
                self._room.set()
            return item
        return None

    def _postpone(self, when: float, origin: Origin[Item], item: Item | None) -> None:
        """Put a photo, or (item None) a listed origin, on the clock."""
        heapq.heappush(self._later, (when, next(self._sequence), origin, item))
        if self._later[0][0] == when:
            self._set_timer()

    def _promote(self) -> None:
        """Move what the clock has reached into the line."""
        if not self._later or self._later[0][0] > self._clock():
            return
        while self._later and self._later[0][0] <= self._clock():
            _, _, origin, item = heapq.heappop(self._later)
            if item is None:
                origin.is_listed = False
            else:
                origin.num_postponed -= 1
                origin.waiting.append(item)
            self._list(origin)
        if self._later:
            self._set_timer()

    def _set_timer(self) -> None:
        """Wake a taker when the first thing on the clock is due."""
        if self._timer:
            self._timer.cancel()
        seconds = max(0.0, self._later[0][0] - self._clock())
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        """Wake a taker, or set the timer again: a loop whose clock is coarse may call some microseconds too early."""
        if self._later and self._later[0][0] > self._clock():
            self._set_timer()
        else:
            self._wake()

    async def _wait(self) -> None:
        """Wait for a turn."""
        taker = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        try:
            await taker
        finally:
            if taker in self._takers:
                self._takers.remove(taker)

    def _wake(self) -> None:
        """Give one waiting taker its turn."""
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return
