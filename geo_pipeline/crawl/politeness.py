"""What one origin (scheme, host, port) is owed: few connections at once, time between requests, silence when it asks.

Here live the state of an origin and its questions: may it be asked now, and if not, what becomes of its photos? Which
photo is asked for next is `frontier.py`'s business. The one idea: everything that slows a crawl down for a server's
sake is a property of its origin. Nothing here waits or knows a clock: every moment is a parameter, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from yarl import URL

from geo_pipeline.crawl.decisions import Outcome, backoff_seconds
from geo_pipeline.crawl.fetching import Reply
from geo_pipeline.crawl.robots import Rules
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.shards.manifest import Status

MAX_BACKOFFS = 8
"""An origin that throttles, or answers 5xx, after so many silences in a row is put off."""

QUICK_SECONDS = 0.005
"""An adaptive delay below this is none: an origin that serves 200 requests a second is not slowed."""

TROUBLE_FAILURES = 5
"""So many failures in a row are the origin's, not a photo's: from then on a server error silences it for a while."""

_EARLY_SECONDS = 0.002  # so much too early is not worth a timer; the next request makes up for it
_FAILING = frozenset({Status.TIMEOUT, Status.CONNECTION, Status.SERVER_ERROR})


@dataclass(slots=True, eq=False)
class Origin:
    """The state of an origin.

    `delay` is the adaptive time between the starts of requests, `held_until` the end of a silence, `num_failures`
    counts failures in a row, `broken_until` is when the breaker lets a trial pass, `rules_until` when robots.txt must
    be read (again).
    """

    key: str
    settings: CrawlSettings
    rules: Rules | None = None
    rules_until: float = -inf
    in_flight: int = 0
    delay: float = 0.0
    last_start: float = -inf
    held_until: float = -inf
    num_backoffs: int = 0
    num_failures: int = 0
    broken_until: float = -inf

    def __post_init__(self) -> None:
        """Without robots.txt there is nothing to read, ever."""
        if not self.settings.respect_robots:
            self.rules_until = inf

    @property
    def limit(self) -> int:
        """Requests that may be in flight: one while its rules are unknown or name a delay, or the breaker tries it."""
        is_shy = self.rules.crawl_delay > 0 if self.rules else self.settings.respect_robots
        return 1 if is_shy or self._is_on_trial else self.settings.per_host

    def needs_rules(self, now: float) -> bool:
        """Whether its robots.txt must be read before its photos are asked for."""
        return now >= self.rules_until and not self._is_closed(now)

    def may_be_asked_at(self, now: float) -> float:
        """When its next photo may be taken: now, or once a hold or a delay is over.

        A photo that would have to wait too long is taken at once, to be refused without a request.
        """
        when = max(self.held_until, self._next_start())
        return now if when <= now or when > now + self._horizon or now < self.broken_until else when

    def refusal(self, url: URL, now: float) -> Outcome | None:
        """What becomes of a photo that may not be asked for in this crawl; None if it may be asked for now."""
        return (self.rules and self.rules.refusal(url)) or self.postponement(now)

    def postponement(self, now: float) -> Outcome | None:
        """The same for what the rules do not concern: robots.txt itself."""
        if now < self.broken_until:
            why = f"its origin failed {self.num_failures} times in a row"
            return Outcome(Status.DEFERRED, why, pause_seconds=self.broken_until - now)
        if now < self.held_until:
            return Outcome(Status.DEFERRED, "its origin asked for a longer pause", pause_seconds=self.held_until - now)
        if (wait := self._next_start() - now) > 0:
            return Outcome(Status.DEFERRED, "its origin asks for a longer delay", pause_seconds=wait)
        return None

    def start(self, now: float) -> None:
        """A request starts now, or a moment too early: then the next one may not be early as well."""
        self.last_start = max(now, self.last_start + self._interval)

    def hold(self, until: float) -> None:
        """No request before `until`; an earlier hold that lasts longer stands."""
        self.held_until = max(self.held_until, until)

    def answered(self, reply: Reply, now: float, jitter: float) -> None:
        """Learn from a reply, after the hold that it asked for; `jitter` is a random number in [0, 1)."""
        self._adapt(reply)
        if reply.status not in _FAILING:
            self.num_failures = 0
            self.broken_until = -inf
        else:
            self._fail(now)
        is_troubled = reply.status is Status.SERVER_ERROR and self.num_failures >= TROUBLE_FAILURES
        if is_troubled or reply.status is Status.THROTTLED:
            self._back_off(now, jitter)
        elif _is_success(reply):
            self.num_backoffs = 0

    def learn(self, rules: Rules, now: float) -> None:
        """Take over what robots.txt says; old rules outlive a robots.txt that cannot be read (RFC 9309, 2.4)."""
        if not (rules.unreachable and self.rules and not self.rules.unreachable):
            self.rules = rules
        self.rules_until = now + rules.valid_seconds

    def is_forgettable(self, now: float) -> bool:
        """Whether nothing is lost for the origin if its state is forgotten."""
        return self.in_flight == 0 and now >= self.held_until and now >= self.broken_until

    @property
    def _horizon(self) -> float:
        return self.settings.max_retry_wait_seconds

    @property
    def _interval(self) -> float:
        """Seconds between the starts of two requests."""
        crawl_delay = self.rules.crawl_delay if self.rules else 0.0
        return max(crawl_delay, self.delay if self.delay >= QUICK_SECONDS else 0.0)

    def _next_start(self) -> float:
        interval = self._interval
        if not interval:
            return -inf
        is_asked_for = self.rules is not None and self.rules.crawl_delay > 0
        return self.last_start + interval - (0.0 if is_asked_for else _EARLY_SECONDS)

    @property
    def _is_on_trial(self) -> bool:
        limit = self.settings.breaker_failures
        return 0 < limit <= self.num_failures

    def _is_closed(self, now: float) -> bool:
        """Whether photos are refused whatever the rules say."""
        return now < self.broken_until or self.held_until > now + self._horizon

    def _adapt(self, reply: Reply) -> None:
        """The rule of Scrapy's AutoThrottle: latency / connections, approached by halves; errors never lower it."""
        if reply.latency_seconds is None or not self.settings.adaptive_delay:
            return
        target = reply.latency_seconds / self.settings.per_host
        delay = min(max(target, (self.delay + target) / 2), self.settings.max_delay_seconds, self._horizon)
        if delay > self.delay or _is_success(reply):
            self.delay = delay

    def _fail(self, now: float) -> None:
        """Count a failure; the breaker opens at the limit, and again after each trial that fails."""
        self.num_failures += 1
        if self._is_on_trial and now >= self.broken_until:
            self.broken_until = now + self.settings.breaker_pause_seconds

    def _back_off(self, now: float, jitter: float) -> None:
        """Silence for the origin; what arrives during it was asked for before and is not counted.

        It is doubled each time, as far as a photo's last retry waits; an origin that is still no better after
        MAX_BACKOFFS is left alone for as long as one that the breaker has found to fail.
        """
        if now < self.held_until:
            return
        self.num_backoffs += 1
        if self.num_backoffs > MAX_BACKOFFS and self.settings.breaker_failures:
            self.hold(now + self.settings.breaker_pause_seconds)
        else:
            step = min(self.num_backoffs, self.settings.retries + 1)
            self.hold(now + backoff_seconds(step, self.settings, jitter))


def _is_success(reply: Reply) -> bool:
    return reply.http_status is not None and (reply.http_status // 100 == 2 or reply.http_status == 304)
