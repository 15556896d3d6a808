"""What response headers ask of a crawler: to come later, or not to use the picture.

Pure functions of header values; acting on them is the business of `decisions.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_SECONDS = 10 * 365 * 86_400.0
"""A Retry-After beyond this means the same to a crawl, and dates stay within what dates can say."""

_FORBIDDING = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
_DIRECTIVES_WITH_VALUES = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, section 10.2.3), 0 to ten years; None if absent or unreadable.

    `value` is a number of seconds or an HTTP date.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), _LONGEST_SECONDS)


def opt_out(robots_tags: Iterable[str], tdm_reservation: str | None, user_agent: str) -> str | None:
    """The header that forbids use of a picture for training, or None.

    `robots_tags` are the values of all X-Robots-Tag headers; a directive counts if it is addressed to all or to the
    product token of `user_agent`. A `tdm-reservation` of 1 reserves text and data mining rights (TDMRep, W3C).
    """
    if tdm_reservation is not None and tdm_reservation.strip() == "1":
        return "tdm-reservation: 1"
    product = user_agent.partition("/")[0].strip().lower()
    for tag in robots_tags:
        for agent, directive in _directives(tag):
            if directive in _FORBIDDING and agent in {"", "*", product}:
                return f"X-Robots-Tag: {tag}"
    return None


def _directives(tag: str) -> Iterable[tuple[str, str]]:
    """(agent, directive) pairs of one X-Robots-Tag value; an agent, `""` for all, holds until another is named."""
    agent = ""
    for part in tag.lower().split(","):
        head, colon, rest = (text.strip() for text in part.partition(":"))
        if colon and head not in _DIRECTIVES_WITH_VALUES:
            agent, directive = head, rest
        else:
            directive = head
        yield agent, directive
