"""Code versions: a hash of the source files that an asset's content depends on.

The one idea: nobody keeps version numbers by hand. An asset names the rooms whose code makes its content, and a change
of any file there makes it stale on the Dagster page.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


@cache
def code_version(*rooms: str) -> str:
    """Sixteen hex digits over the names and contents of the Python files of some rooms (or single modules)."""
    digest = hashlib.sha256()
    for room in rooms:
        place = PACKAGE / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]:
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
