"""Which stored photos of any number of manifests have the same body.

Here lives finding them for a download, whose manifests together may be larger than memory; over the manifests of a
profile's buckets geo_pipeline.photos.joins does it. The one idea: eight bytes of each hash are enough to find the few
hashes that may stand twice, and only those are looked at whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geo_pipeline.shards.manifest import Status

_HEX_DIGITS = 16
_COLUMNS = ["source_sha256", "photo_id"]


def originals(manifests: Sequence[Path]) -> pa.Table:
    """`source_sha256, photo_id`: the smallest id of each body that several stored photos share.

    `manifests` are Parquet files.
    """
    beginnings = np.sort(np.concatenate([np.empty(0, np.uint64), *(_beginnings(_stored(path)) for path in manifests)]))
    doubled = np.unique(beginnings[1:][beginnings[1:] == beginnings[:-1]])
    found = [pa.table({name: pa.array([], pa.string()) for name in _COLUMNS})]
    for path in manifests if len(doubled) else ():
        stored = _stored(path)
        found.append(stored.filter(pa.array(np.isin(_beginnings(stored), doubled))))
    return _first_of_each(pa.concat_tables(found, promote_options="permissive"))


def _stored(path: Path) -> pa.Table:
    """Hash and id of the stored photos of a manifest."""
    rows = pq.ParquetFile(path).read(columns=[*_COLUMNS, "status"])
    return rows.filter(pc.equal(rows["status"], Status.OK.value)).select(_COLUMNS)


def _beginnings(stored: pa.Table) -> np.ndarray:
    """uint64[n]: the first eight bytes of each hash."""
    digits = pc.utf8_slice_codeunits(stored["source_sha256"], 0, _HEX_DIGITS).to_pylist()
    return np.frombuffer(bytes.fromhex("".join(digits)), dtype=">u8").astype(np.uint64)


def _first_of_each(rows: pa.Table) -> pa.Table:
    """The row with the smallest id for each hash that stands in several rows."""
    rows = rows.sort_by([(name, "ascending") for name in _COLUMNS]).combine_chunks()
    hashes = rows["source_sha256"].to_numpy()
    is_first = np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]
    has_another = np.append(hashes[1:] == hashes[:-1], False)[: len(hashes)]
    return rows.filter(pa.array(is_first & has_another))
