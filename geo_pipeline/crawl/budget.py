"""How many bytes of bodies a crawl holds at once.

Here lives one counter for one event loop. What is read, and from where, is not known here. The one idea: beyond the
limit bodies go on one at a time, first come, first served. One can always go on to its end, so nothing waits for ever,
and what is held stays below the limit, one whole body, and one chunk for each request in flight.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self


class ByteBudget:
    """Counts the bytes held by leases; a lease that grows beyond `limit` bytes in all waits for its turn."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._waiting: deque[tuple[asyncio.Future[None], Lease]] = deque()
        self._overdrawn_by: Lease | None = None

    def lease(self) -> Lease:
        """A new share of the budget; use it as a context manager, whose end gives everything back."""
        return Lease(self)

    async def turn(self, lease: Lease) -> None:
        """Return when there is room, or when this lease may go on beyond the limit."""
        while self.held > self.limit and self._overdrawn_by is not lease:
            if self._overdrawn_by is None and not self._waiting:
                self._overdrawn_by = lease
                return
            await self._wait(lease)

    def give_back(self, lease: Lease) -> None:
        """A lease ends."""
        self.held -= lease.held
        lease.held = 0
        if self._overdrawn_by is lease:
            self._overdrawn_by = None
        self._wake()

    async def _wait(self, lease: Lease) -> None:
        place = asyncio.get_running_loop().create_future(), lease
        self._waiting.append(place)
        try:
            await place[0]
        except asyncio.CancelledError:
            if self._overdrawn_by is lease:
                self._overdrawn_by = None  # it was given its turn in the moment that it was cancelled
            raise
        finally:
            if place in self._waiting:
                self._waiting.remove(place)
            self._wake()

    def _wake(self) -> None:
        """Let all go on if there is room, else the first one if nobody else is beyond the limit."""
        while self._waiting and (self.held <= self.limit or self._overdrawn_by is None):
            future, lease = self._waiting.popleft()
            if future.done():
                continue
            if self.held > self.limit:
                self._overdrawn_by = lease
            future.set_result(None)


class Lease:
    """The bytes that one request holds, from their arrival until its photo is stored."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.held = 0

    def add(self, num_bytes: int) -> bool:
        """Count bytes that have arrived; whether it must take its `turn` before more are read."""
        self.held += num_bytes
        self._budget.held += num_bytes
        return self._budget.held > self._budget.limit

    async def turn(self) -> None:
        """Return when more bytes may be read."""
        await self._budget.turn(self)

    def drop(self) -> None:
        """Give back what is held: the bytes that have arrived are not kept."""
        self._budget.give_back(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give_back(self)
