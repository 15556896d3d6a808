"""How many photos of a list are left after each filter, and the note of it that travels with the table.

Here live the counts as metadata of the Parquet table that they are about, so that whoever trains can tell, on any
machine. It imports no torch. The one idea: the note is no part of the table's content, its hash does not know it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import pyarrow as pa

_KEY = b"geo_pipeline.selection"


@dataclass(frozen=True)
class Selection:
    """`counts`: photos left after each filter by its name, in the order of the filters; the first one is the list."""

    counts: Mapping[str, int]

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        """The note of a table; a table without one is its own list."""
        note = (table.schema.metadata or {}).get(_KEY)
        return cls(json.loads(note) if note else {"listed": table.num_rows})

    def attached_to(self, table: pa.Table) -> pa.Table:
        """The same table with the note."""
        return table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: json.dumps(dict(self.counts))})

    def __str__(self) -> str:
        """`1,000 listed, 950 downloaded, 940 labelled`."""
        return ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
