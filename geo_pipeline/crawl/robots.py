"""What a site's robots.txt lets us do (RFC 9309).

Here live the reading of a robots.txt and the answer to "may this URL be asked for?". When it is fetched is
`frontier.py`'s business, how long an origin then waits is `politeness.py`'s. The one idea: a robots.txt is asked for
like a photo, with the same retries, redirects and holds; only what its outcome means is decided here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from protego import Protego
from yarl import URL

from geo_pipeline.crawl.decisions import Outcome, Visit
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.shards.manifest import Status

MAX_ROBOTS_BYTES = 500 * 1024
"""What lies beyond is not read (RFC 9309, section 2.5)."""

MAX_ROBOTS_REDIRECTS = 5
"""Redirects followed; a longer chain is no robots.txt (RFC 9309, section 2.3.1.2)."""

RULES_SECONDS = 86_400.0
"""Rules are used for a day (RFC 9309, section 2.4); what they forbid is looked at again by a crawl a day later."""

UNREACHABLE_SECONDS = 600.0
"""Within a crawl, a robots.txt that could not be read is not asked for again sooner than this."""

_BYTES_PER_CHARACTER = 25  # of parsed rules, measured with Protego 0.6
_AGENT_LINE = re.compile(r"\s*user[ -]?agent\b\s*:?\s*(\*|[\w-]*)", re.IGNORECASE)
_SOMEBODY_ELSE = "User-agent: somebody-else"


@dataclass(frozen=True, slots=True)
class Rules:
    """What one robots.txt says to us.

    `parser` is None if it forbids nothing. `unreachable` is what befalls all photos of an origin whose robots.txt
    could not be read: then nothing may be asked for (RFC 9309, section 2.3.1.4). `num_bytes` is about what the rules
    take in memory, `valid_seconds` how long they may be used.
    """

    product_token: str = ""
    parser: Protego | None = None
    crawl_delay: float = 0.0
    unreachable: Outcome | None = None
    num_bytes: int = 0
    valid_seconds: float = RULES_SECONDS

    def refusal(self, url: URL) -> Outcome | None:
        """What befalls a photo that the rules forbid to ask for; None if they allow it."""
        if self.unreachable:
            return self.unreachable
        if self.parser is None or self.parser.can_fetch(str(url), self.product_token):
            return None
        return Outcome(Status.ROBOTS_DISALLOWED, "robots.txt forbids it", pause_seconds=RULES_SECONDS)


@dataclass(frozen=True, slots=True)
class RobotsErrand:
    """A robots.txt on its way; the owner of its visit is the origin (scheme, host, port) whose it is."""

    visit: Visit[str]


def robots_errand(origin: str) -> RobotsErrand:
    """The first request for the robots.txt of an origin."""
    url = URL(origin).with_path("/robots.txt")
    return RobotsErrand(Visit(origin, "robots.txt", str(url), url, url))


def robots_settings(settings: CrawlSettings) -> CrawlSettings:
    """The settings by which the visit of a robots.txt is decided."""
    return settings.model_copy(update={"max_redirects": MAX_ROBOTS_REDIRECTS})


def rules_from(outcome: Outcome, body: bytes = b"", product_token: str = "") -> Rules:
    """What follows from the outcome of a robots.txt's visit; `body` is what was read of it.

    A failure that may pass (429, 5xx, no answer) leaves its origin closed for the time being. Whatever else is no
    robots.txt (4xx, a redirect that leads nowhere) allows everything (RFC 9309, section 2.3.1.3).
    """
    if outcome.status is Status.OK:
        return parse_rules(body, product_token)
    if not outcome.status.is_retried:
        return Rules()
    # A server that answers has postponed its photos; one that does not has failed them, in the way the error says.
    postponed = outcome.status in {Status.THROTTLED, Status.SERVER_ERROR, Status.DEFERRED}
    status = Status.DEFERRED if postponed else outcome.status
    why = f"robots.txt cannot be read: {outcome.error or outcome.status}"[:300]
    closed = Outcome(status, why, pause_seconds=outcome.pause_seconds)
    return Rules(unreachable=closed, valid_seconds=max(outcome.pause_seconds or 0.0, UNREACHABLE_SECONDS))


def parse_rules(body: bytes, product_token: str) -> Rules:
    """The rules in a robots.txt, of which only what stands before MAX_ROBOTS_BYTES counts, up to its last whole line.

    A group is ours if it names exactly our product token (RFC 9309, section 2.2.1) or, without such a group, `*`.
    """
    if len(body) >= MAX_ROBOTS_BYTES:
        body = body[: max(body.rfind(b"\n", 0, MAX_ROBOTS_BYTES), 0)]
    text = _without_other_agents(body.decode("utf-8-sig", "replace"), product_token.lower())
    parser = Protego.parse(text)
    delay = parser.crawl_delay(product_token) or 0.0
    return Rules(product_token, parser, delay, num_bytes=len(text) * _BYTES_PER_CHARACTER)


def _without_other_agents(text: str, product_token: str) -> str:
    """The text with all agents but ours and `*` under one name.

    The parser's time and memory grow with the number of agents times that of rules: 500 KiB made to that end took six
    minutes and gigabytes. It also takes a group for ours that names the beginning of our token.
    """
    lines = text.splitlines()
    for number, line in enumerate(lines):
        found = _AGENT_LINE.match(line)
        if found and found[1].lower() not in {"*", product_token}:
            lines[number] = _SOMEBODY_ELSE
        elif found:
            lines[number] = f"User-agent: {found[1]}"
    return "\n".join(lines)
