"""Faults: the photos whose URL misbehaves as real ones do.

Here live the vocabulary of misbehaviour, its shares, and the bodies that lie. How a fault looks over HTTP is
`server`'s. The one idea: a hash of the photo's id alone decides, so a fault tells nothing about a place, and every
run of the demo meets the same ones.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import cache
from importlib.resources import files


class Fault(StrEnum):
    """What can be wrong with a photo's URL. The last three mend themselves; the photo is lost with the others."""

    NOT_FOUND = "not_found"
    """404"""
    GONE = "gone"
    """410"""
    FORBIDDEN = "forbidden"
    """403"""
    PLACEHOLDER = "placeholder"
    """200 with a 'photo unavailable' picture, the same bytes every time"""
    HTML = "html"
    """200, Content-Type image/jpeg, and a web page as the body"""
    EMPTY = "empty"
    """200 with no body"""
    HALF_JPEG = "half_jpeg"
    """200 with a complete body that is a JPEG without its last kilobyte, about half of the pixels"""
    TRUNCATED = "truncated"
    """the connection ends a kilobyte before the announced length"""
    THROTTLED = "throttled"
    """429 with Retry-After: 1, once"""
    UNAVAILABLE = "unavailable"
    """503, once"""
    MOVED = "moved"
    """302 to the picture, on the same origin"""


FAULT_SHARES = {
    Fault.NOT_FOUND: 0.0120,
    Fault.GONE: 0.0030,
    Fault.FORBIDDEN: 0.0040,
    Fault.PLACEHOLDER: 0.0060,
    Fault.HTML: 0.0020,
    Fault.EMPTY: 0.0020,
    Fault.HALF_JPEG: 0.0030,
    Fault.TRUNCATED: 0.0030,
    Fault.THROTTLED: 0.0004,
    Fault.UNAVAILABLE: 0.0020,
    Fault.MOVED: 0.0040,
}
"""Share of the training and validation photos with each fault."""

BENCHMARK_FACTOR = 0.35
"""Benchmark sets have this part of the faults: their pictures were looked after."""

PASSING_FAULTS = frozenset({Fault.THROTTLED, Fault.UNAVAILABLE, Fault.MOVED})
"""Faults that a crawler which retries and follows redirects overcomes."""

PLACEHOLDER_SHA256 = "9937f30b9ae1c0fc1ceebe56829ace4c72d0ac8f26b7c1c058985a77a16567fa"
"""SHA-256 of the 'photo unavailable' picture; a crawl profile lists it as a known placeholder."""

_MISSING_BYTES = 1024
_HTML_PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><p>Please sign in.</p></body></html>\n"


@cache
def placeholder_picture() -> bytes:
    """The 'photo unavailable' picture, a JPEG kept as a file so that its bytes never change."""
    return (files("geo_pipeline.world") / "photo_unavailable.jpg").read_bytes()


def fault_of(photo_id: str, *, benchmark: bool) -> Fault | None:
    """The fault of a photo's URL, if it has one."""
    digest = hashlib.sha256(b"geo_pipeline fault 1\0" + photo_id.encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2.0**64
    for fault, share in FAULT_SHARES.items():
        position -= share * BENCHMARK_FACTOR if benchmark else share
        if position < 0.0:
            return fault
    return None


def body_with(fault: Fault | None, picture: bytes) -> bytes | None:
    """The bytes that are to be had of a photo in the end, None where there are none.

    This is what a URL with the fault sends after retries and redirects, and what a folder of pictures holds.
    """
    match fault:
        case Fault.NOT_FOUND | Fault.GONE | Fault.FORBIDDEN:
            return None
        case Fault.PLACEHOLDER:
            return placeholder_picture()
        case Fault.HTML:
            return _HTML_PAGE
        case Fault.EMPTY:
            return b""
        case Fault.HALF_JPEG | Fault.TRUNCATED:
            return picture[:-_MISSING_BYTES]
        case _:
            return picture
