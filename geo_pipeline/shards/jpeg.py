"""What a JPEG holds besides its picture.

Here lives the walk along a file's marker segments (ITU T.81, annex B). Not here: decoding. The one idea: only what a
decoder needs is allowed, so metadata of a kind that nobody thought of is found as well.
"""

from __future__ import annotations

import re

_SEGMENTS = frozenset({*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDD}) - {0xC8}  # frames, tables, scans, restart intervals
_SCAN, _COMMENT, _APP0, _ADOBE = 0xDA, 0xFE, 0xE0, 0xEE
_PLAIN_JFIF = re.compile(rb"JFIF\0.{7}\0\0", re.DOTALL)  # no thumbnail
_PLAIN_ADOBE = re.compile(rb"Adobe.{7}", re.DOTALL)
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7]")


def foreign_content(jpeg: bytes) -> str | None:
    """What a JPEG holds that no decoder needs: metadata, comments, thumbnails, bytes behind its end; None if nothing.

    Allowed are tables, frames, scans, a JFIF header and Adobe's colour transform. A file that is not built as a JPEG
    is named as well.
    """
    if jpeg[:2] != b"\xff\xd8":
        return f"no JPEG: it begins with {jpeg[:4]!r}"
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, end = jpeg[at + 1], at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        found = _foreign_segment(marker, jpeg[at + 4 : end])
        if found:
            return f"{found} at byte {at}"
        at = end
        if marker == _SCAN:
            following = _MARKER_IN_SCAN.search(jpeg, end)
            if following is None:
                return "no end: it stops inside a scan"
            at = following.start()
        if jpeg[at : at + 2] == b"\xff\xd9":
            return None if at + 2 == len(jpeg) else f"{len(jpeg) - at - 2:,} bytes behind its end at byte {at + 2}"
    return f"no marker at byte {at}"


def _foreign_segment(marker: int, payload: bytes) -> str | None:
    """What is foreign in a marker segment."""
    if marker in _SEGMENTS:
        return None
    if marker == _COMMENT:
        return "a comment (COM)"
    if (marker == _APP0 and _PLAIN_JFIF.fullmatch(payload)) or (marker == _ADOBE and _PLAIN_ADOBE.fullmatch(payload)):
        return None
    if _APP0 <= marker <= 0xEF:
        return f"metadata (APP{marker - _APP0}, {payload[:6]!r})"
    return f"an unknown segment (0x{marker:02x})"
