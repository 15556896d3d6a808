"""The identity of a world: what tells a running server of these lists from any other.

Here lives the fingerprint and nothing heavy: both the server and its clients compute it. The one idea: equal
fingerprints mean that every URL of the lists answers the same.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from geo_pipeline.errors import InputError
from geo_pipeline.source_code import code_behind

ANSWERS = ("world.views", "world.faults", "world.server")
"""The code that decides what a URL answers."""


def world_fingerprint(lists: Path) -> str:
    """16 hexadecimal digits from the metadata files of a lists folder and the code that answers.

    Raises InputError naming the folder if it holds no metadata file.
    """
    metadata = sorted(lists.glob("*_metadata.csv"))
    if not metadata:
        raise InputError(
            f"{lists}: no *_metadata.csv there, so these are not the lists of a world; set `world.lists` to the folder "
            "that `python -m geo_pipeline.world make-lists` wrote"
        )
    digest = hashlib.sha256(f"geo_pipeline world {code_behind(ANSWERS).version}".encode())
    for path in metadata:
        content = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]
