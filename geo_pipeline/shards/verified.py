"""Which shards have been verified, so that each is read once and not at every run.

Here lives the memory over `verify.py`. The one idea: a shard that a manifest names is never written again, so what was
found sound stays so until its rows, its size or its time of change differ, or, as disks forget, until it is long ago.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from geo_pipeline.shards.verify import Fault, Problem, stored_shards, verify_photos
from geo_pipeline.store import table_hash, text_hash, write_json

MAX_PROBLEMS = 1000
"""Problems kept; all are counted."""


@dataclass(frozen=True)
class Verification:
    """What was found: the first problems, all of them by fault, and how much of what is stored was read for it."""

    problems: tuple[Problem, ...]
    counts: Mapping[Fault, int]
    num_photos: int
    num_read: int


def verify_changed(
    manifest: pa.Table, root: Path, memory: Path, *, rules: str, now: datetime, again_after: timedelta
) -> Verification:
    """Verify the shards that have changed since they were found sound, or were so longer than `again_after` ago.

    `manifest` as for `verify_photos`; `memory` is the JSON file that remembers, of this root alone; `rules` says what
    is looked for: with other rules everything is read again. Losing the memory costs one reading of everything.
    """
    shards = stored_shards(manifest)
    marks = {name: _mark(rows, root / name, rules) for name, rows in shards.items()}
    known = {name: at for name, at in _remembered(memory, marks).items() if now - at < again_after}
    reading = {name: rows for name, rows in shards.items() if name not in known}
    problems: list[Problem] = []
    counts: Counter[Fault] = Counter()
    unsound: set[Path] = set()
    for problem in verify_photos(pa.concat_tables(reading.values()), root) if reading else ():
        counts[problem.fault] += 1
        unsound.add(problem.shard)
        problems += [problem][: MAX_PROBLEMS - len(problems)]
    sound = known | {name: now for name in reading if root / name not in unsound}
    write_json(memory, {name: {"mark": marks[name], "verified_at": at.isoformat()} for name, at in sound.items()})
    stored = sum(rows.num_rows for rows in shards.values())
    return Verification(tuple(problems), counts, stored, sum(rows.num_rows for rows in reading.values()))


def _mark(rows: pa.Table, shard: Path, rules: str) -> str:
    """What a shard is recognised by: its rows in the manifest, its size and time of change, and the rules."""
    try:
        file = shard.stat()
    except FileNotFoundError:
        return "absent"
    return text_hash(f"{table_hash(rows)} {file.st_size} {file.st_mtime_ns} {rules}")[:32]


def _remembered(memory: Path, marks: Mapping[str, str]) -> dict[str, datetime]:
    """When each shard that still has its mark was found sound."""
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
        found = {name: (each["mark"], datetime.fromisoformat(each["verified_at"])) for name, each in content.items()}
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return {name: at for name, (mark, at) in found.items() if marks.get(name) == mark}
