"""What one origin (scheme, host, port) is owed: few connections at once, and silence when it asks for it.

Here lives the state of an origin and the question "may it be asked now?". Which photo is asked for next is
`frontier.py`'s business. The one idea: everything that slows a crawl down for a server's sake is a property of its
origin; a breaker, an adaptive delay or robots rules belong here too.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(slots=True)
class Origin(Generic[Item]):
    """An origin's waiting photos and its state; times are those of the event loop, in seconds."""

    key: str
    waiting: deque[Item] = field(default_factory=deque)
    num_postponed: int = 0
    in_flight: int = 0
    held_until: float = 0.0
    is_listed: bool = False

    def hold(self, until: float) -> None:
        """No request before `until`; an earlier hold that lasts longer stands."""
        self.held_until = max(self.held_until, until)

    def may_be_asked_at(self, now: float, horizon: float) -> float:
        """When its next photo may be taken: now, unless it is held for at most `horizon` seconds.

        A photo of an origin that is held for longer is taken at once, to be deferred without a request.
        """
        return self.held_until if now < self.held_until <= now + horizon else now

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for it and nothing is in flight."""
        return not (self.waiting or self.num_postponed or self.in_flight)
