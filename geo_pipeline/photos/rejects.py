"""Rows that cannot be used: each with its file, row and reason. Nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

import pyarrow as pa

REJECTS_SCHEMA = pa.schema(
    [
        pa.field("photo_set", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("photo_id", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
FIRST_REJECTS = 10
"""So many are named in an error."""


@dataclass(frozen=True)
class Reject:
    """One bad row: `row` counts lines of the file from 1, the header included."""

    row: int
    photo_id: str | None
    reason: str


def rejects_table(photo_set: str, file: Path, rejects: Iterable[Reject]) -> pa.Table:
    """Rejects of one file as a table, in order of their rows."""
    rows = [(photo_set, str(file), *astuple(reject)) for reject in sorted(rejects, key=lambda r: r.row)]
    columns = zip(*rows, strict=True) if rows else [[] for _ in REJECTS_SCHEMA]
    return pa.table([list(column) for column in columns], schema=REJECTS_SCHEMA)


def refusal(file: Path, count: int, rejects: pa.Table, *, can_skip: bool = True) -> str:
    """The message that tells of `count` bad rows of a file and names the first; `rejects`: `row, reason`, by row."""
    first = rejects.slice(0, FIRST_REJECTS).select(["row", "reason"]).to_pylist()
    lines = [f"  - {file}, row {row['row']}: {row['reason']}" for row in first]
    remedy = "correct them, or leave them out with --skip-bad-rows" if can_skip else "correct them or take them out"
    head = f"{count} rows cannot be used; {remedy}; the first:"
    return "\n".join([head, *lines])
