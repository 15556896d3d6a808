"""Whether shards hold what their manifest says: every place readable, every hash right, nothing but pictures.

Here lives one pass over all stored photos. Not here: when it is worth its time. The one idea: reading is what it costs
(140 GB for MP-16), so each byte is read once, in file order and outside of Python's lock, for all questions together.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.shards.format import DamagedRecordError, unpack_record
from geo_pipeline.shards.jpeg import foreign_content

THREADS = 2
_COLUMNS = ["photo_id", "shard", "offset", "length", "image_sha256"]
_Row = tuple[str, str, int, int, str]


class Fault(StrEnum):
    """What can be wrong with a stored photo."""

    DISAGREES = "disagrees"
    """The shard does not hold what the manifest says."""
    FOREIGN_CONTENT = "foreign_content"
    """The stored file holds more than its picture: metadata, comments, bytes behind its end."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A stored photo that is not as it should be."""

    fault: Fault
    photo_id: str
    shard: Path
    offset: int
    found: str

    def __str__(self) -> str:
        return f"{self.shard}: photo {self.photo_id} at byte {self.offset}: {self.found}"


def verify_photos(manifest: pa.Table, root: Path, *, threads: int = THREADS) -> Iterator[Problem]:
    """The problems of all stored photos, shard by shard.

    `manifest` needs `photo_id, shard, offset, length, image_sha256`; `shard` is a path below `root`, null where nothing
    is stored.
    """
    shards = stored_shards(manifest).values()
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        for problems in pool.map(lambda rows: _problems(rows, root), shards):
            yield from problems


def stored_shards(manifest: pa.Table) -> dict[str, pa.Table]:
    """The rows of each shard that a manifest names, in file order, by the shard's name; columns as they are read."""
    stored = manifest.select(_COLUMNS).filter(pc.is_valid(manifest["shard"]))
    stored = stored.sort_by([("shard", "ascending"), ("offset", "ascending")])
    counts = pc.value_counts(stored["shard"].combine_chunks()).to_pylist()
    ends = accumulate(each["counts"] for each in counts)
    return {
        each["values"]: stored.slice(end - each["counts"], each["counts"])
        for each, end in zip(counts, ends, strict=True)
    }


def _problems(rows: pa.Table, root: Path) -> Sequence[Problem]:
    """The problems of one shard."""
    places: list[_Row] = list(zip(*(rows[name].to_pylist() for name in _COLUMNS), strict=True))
    path = root / places[0][1]
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return [Problem(Fault.DISAGREES, row[0], path, row[2], "the shard is not there") for row in places[:1]]
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return [problem for row in places if (problem := _problem(descriptor, path, row))]
    finally:
        os.close(descriptor)


def _problem(descriptor: int, path: Path, row: _Row) -> Problem | None:
    """What is wrong with one photo; a plain read, as a page fault in a memory map would hold up the other threads."""
    photo_id, _, offset, length, sha256 = row
    try:
        found_id, image = unpack_record(os.pread(descriptor, length, offset), path, offset)
    except DamagedRecordError as error:
        return Problem(Fault.DISAGREES, photo_id, path, offset, f"damaged record: {error.found}")
    if found_id != photo_id:
        return Problem(Fault.DISAGREES, photo_id, path, offset, f"holds photo {found_id}")
    if hashlib.sha256(image).hexdigest() != sha256:
        return Problem(Fault.DISAGREES, photo_id, path, offset, "the picture has another sha256 than the manifest")
    foreign = foreign_content(image)
    return Problem(Fault.FOREIGN_CONTENT, photo_id, path, offset, foreign) if foreign else None
