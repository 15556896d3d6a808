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
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from yarl import URL

from geo_pipeline.crawl.decisions import Outcome
from geo_pipeline.crawl.fetching import Reply
from geo_pipeline.crawl.politeness import Origin
from geo_pipeline.crawl.robots import Rules
from geo_pipeline.crawl.settings import CrawlSettings

IDLE_BYTES = 32_000_000
"""Memory for what is known of origins without waiting photos, about; those longest idle are forgotten first."""

_ORIGIN_BYTES = 1000
_SHORTEST_TIMER_SECONDS = 0.001

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class _Line(Generic[Item]):
    """What waits for one origin.

    Errands (requests for a robots.txt, its own or one that was redirected here) go first. `is_on_errand` says that its
    own robots.txt is being read, for which its photos wait; `is_listed` that it has a place in the line of origins or
    on the clock.
    """

    origin: Origin
    waiting: deque[Item] = field(default_factory=deque)
    errands: deque[Item] = field(default_factory=deque)
    num_postponed: int = 0
    is_on_errand: bool = False
    is_listed: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for the origin and nothing is in flight."""
        return not (self.waiting or self.errands or self.num_postponed or self.is_on_errand or self.origin.in_flight)

    @property
    def has_next(self) -> bool:
        return bool(self.errands or (self.waiting and not self.is_on_errand))


class Frontier(Generic[Item]):
    """Photos by origin; for one event loop.

    `capacity` bounds the photos that wait here (further ones stay in their table on disk); `errand` makes, of an
    origin's key, the item that brings its robots.txt. `clock` gives seconds.
    """

    def __init__(
        self,
        settings: CrawlSettings,
        *,
        capacity: int,
        errand: Callable[[str], Item],
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._capacity, self._errand, self._clock = settings, capacity, errand, clock
        self._lines: dict[str, _Line[Item]] = {}
        self._idle: dict[str, int] = {}
        self._idle_bytes = 0
        self._ready: deque[_Line[Item]] = deque()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
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
        line = self._line(origin_key)
        self._add(line, line.waiting, item, wait_seconds)

    def add_errand(self, origin_key: str, item: Item, wait_seconds: float = 0.0) -> None:
        """Queue another try or hop for a robots.txt; it needs no rules and goes before the photos."""
        line = self._line(origin_key)
        self._add(line, line.errands, item, wait_seconds)

    def hold(self, origin_key: str, seconds: float) -> None:
        """No request to an origin for so many seconds."""
        line = self._line(origin_key)
        line.origin.hold(self._clock() + seconds)
        self._list_or_rest(line)

    async def take(self) -> Item | None:
        """The next item that may be asked for, as soon as there is one; None after `close`.

        Its origin counts one more request in flight until `release`. It may be one that must not be asked for in this
        crawl at all: `refusal` says so.
        """
        while not self._is_closed:
            item = self._pop()
            if item is not None:
                return item
            await self._wait()
        return None

    def refusal(self, origin_key: str, url: URL) -> Outcome | None:
        """What becomes of a taken photo that may not be asked for; None: its request starts now."""
        origin, now = self._lines[origin_key].origin, self._clock()
        return self._start_unless(origin.refusal(url, now), origin, now)

    def postponement(self, origin_key: str) -> Outcome | None:
        """The same for a taken errand."""
        origin, now = self._lines[origin_key].origin, self._clock()
        return self._start_unless(origin.postponement(now), origin, now)

    def answered(self, origin_key: str, reply: Reply, hold_seconds: float, jitter: float) -> None:
        """An origin has answered a request, or failed to, and asks for a hold; the request is no longer in flight."""
        origin, now = self._lines[origin_key].origin, self._clock()
        origin.hold(now + hold_seconds)
        origin.answered(reply, now, jitter)
        self.release(origin_key)

    def learn(self, origin_key: str, rules: Rules) -> None:
        """An origin's robots.txt has been read: its photos can go on."""
        line = self._lines[origin_key]
        line.origin.learn(rules, self._clock())
        line.is_on_errand = False
        self._list_or_rest(line)

    def release(self, origin_key: str) -> None:
        """A taken item needs its origin no longer."""
        line = self._lines[origin_key]
        line.origin.in_flight -= 1
        self._list_or_rest(line)

    def close(self) -> None:
        """Let every taker go with None."""
        self._is_closed = True
        if self._timer:
            self._timer.cancel()
        while self._takers:
            self._wake()

    def _start_unless(self, refusal: Outcome | None, origin: Origin, now: float) -> Outcome | None:
        if refusal is None:
            origin.start(now)
        return refusal

    def _line(self, key: str) -> _Line[Item]:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(Origin(key, self._settings))
        elif key in self._idle:
            self._idle_bytes -= self._idle.pop(key)
        return line

    def _add(self, line: _Line[Item], queue: deque[Item], item: Item, wait_seconds: float) -> None:
        if wait_seconds > 0:
            line.num_postponed += 1
            self._postpone(self._clock() + wait_seconds, partial(self._add_postponed, line, queue, item))
        else:
            queue.append(item)
            self._list(line)

    def _add_postponed(self, line: _Line[Item], queue: deque[Item], item: Item) -> None:
        line.num_postponed -= 1
        queue.append(item)
        self._list(line)

    def _list(self, line: _Line[Item]) -> None:
        """Give an origin its place in the line (or on the clock) if it can use one and has none."""
        if line.is_listed:
            return
        origin, now = line.origin, self._clock()
        if line.waiting and not line.is_on_errand and origin.needs_rules(now):
            line.is_on_errand = True
            line.errands.append(self._errand(origin.key))
        if not line.has_next or origin.in_flight >= origin.limit:
            return
        line.is_listed = True
        when = origin.may_be_asked_at(now)
        if when > now:
            self._postpone(when, partial(self._list_again, line))
        else:
            self._ready.append(line)
            self._wake()

    def _list_again(self, line: _Line[Item]) -> None:
        line.is_listed = False
        self._list(line)

    def _list_or_rest(self, line: _Line[Item]) -> None:
        """Go on with an origin, or keep what is known of it as long as there is memory for it."""
        if not line.is_idle:
            self._list(line)
            return
        key, rules = line.origin.key, line.origin.rules
        size = _ORIGIN_BYTES + (rules.num_bytes if rules else 0)
        self._idle_bytes += size - self._idle.pop(key, 0)
        self._idle[key] = size
        while self._idle_bytes > IDLE_BYTES:
            oldest = next(iter(self._idle))
            size = self._idle.pop(oldest)
            if not self._lines[oldest].origin.is_forgettable(self._clock()):
                self._idle[oldest] = size
                break
            self._idle_bytes -= size
            del self._lines[oldest]

    def _pop(self) -> Item | None:
        """The first item of the first origin in line that may still be asked."""
        while self._ready:
            line = self._ready.popleft()
            line.is_listed = False
            if not self._may_go_on(line):
                self._list(line)  # its state has changed since it joined the line
                continue
            line.origin.in_flight += 1
            item = line.errands.popleft() if line.errands else self._pop_photo(line)
            self._list(line)
            return item
        return None

    def _may_go_on(self, line: _Line[Item]) -> bool:
        origin, now = line.origin, self._clock()
        may_be_asked = origin.in_flight < origin.limit and origin.may_be_asked_at(now) <= now
        return may_be_asked and (bool(line.errands) or not origin.needs_rules(now))

    def _pop_photo(self, line: _Line[Item]) -> Item:
        self.size -= 1
        if self.size < self._capacity:
            self._room.set()
        return line.waiting.popleft()

    def _postpone(self, when: float, action: Callable[[], None]) -> None:
        """Put something on the clock."""
        entry = (when, next(self._sequence), action)
        heapq.heappush(self._later, entry)
        if self._later[0] is entry:
            self._set_timer()

    def _tick(self) -> None:
        """Do what the clock has reached."""
        self._timer = None
        while self._later and self._later[0][0] <= self._clock():
            _, _, action = heapq.heappop(self._later)
            action()
        if self._later:
            self._set_timer()

    def _set_timer(self) -> None:
        """Tick when the first thing on the clock is due; not more often than a loop's timers are exact."""
        if self._timer:
            self._timer.cancel()
        seconds = max(_SHORTEST_TIMER_SECONDS, self._later[0][0] - self._clock())
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    async def _wait(self) -> None:
        """Wait for a turn."""
        taker = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        try:
            await taker
        except asyncio.CancelledError:
            if taker.cancelled():
                self._takers.remove(taker)
            else:
                self._wake()  # its turn had come: another one gets it
            raise

    def _wake(self) -> None:
        """Give one waiting taker its turn."""
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return
