"""The rows that a crawl has recorded for a bucket, kept as columns.

Here lives memory of what the ledger holds on disk. The one idea: a row is some kilobytes as Python objects and some
hundred bytes in a table, and a bucket has tens of thousands of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from geo_pipeline.shards.manifest import ManifestRow, empty_manifest, manifest_table

_ROWS_AT_A_TIME = 1024


class Recorded:
    """Rows in the order of their recording."""

    def __init__(self, rows: Iterable[ManifestRow] = ()) -> None:
        self._tables = [empty_manifest()]
        self._recent: list[ManifestRow] = []
        for row in rows:
            self.append(row)

    def append(self, row: ManifestRow) -> None:
        """Add a row."""
        self._recent.append(row)
        if len(self._recent) >= _ROWS_AT_A_TIME:
            self._put_away()

    def table(self) -> pa.Table:
        """All rows, the last one first: of several for one photo, the one that holds comes first."""
        self._put_away()
        rows = pa.concat_tables(self._tables)
        return rows.take(pa.array(np.arange(rows.num_rows)[::-1])).combine_chunks()

    def _put_away(self) -> None:
        if self._recent:
            self._tables.append(manifest_table(self._recent))
            self._recent = []
