"""Duplicates over several manifests, against a plain dictionary."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.crawl.duplicates import originals
from geo_pipeline.shards.manifest import ManifestRow, Status, manifest_table
from geo_pipeline.store import write_table

HASHES = [letter * 64 for letter in "abc"] + ["a" * 16 + "0" * 48, "a" * 16 + "1" * 48]
"""The last two begin as the first one does."""

ROWS = st.lists(st.tuples(st.sampled_from(HASHES), st.sampled_from([Status.OK, Status.CORRUPT])), max_size=12)


@settings(deadline=None)
@given(parts=st.lists(ROWS, min_size=1, max_size=3), descending=st.booleans())
def test_the_smallest_id_of_each_shared_body_is_found(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[tuple[str, Status]]], descending: bool
) -> None:
    folder, ids = tmp_path_factory.mktemp("parts"), iter(sorted(map(str, range(100, 200)), reverse=descending))
    by_hash: dict[str, list[str]] = {}
    paths: list[Path] = []
    for part in parts:
        rows = [ManifestRow(next(ids), "u", status, source_sha256=digest) for digest, status in part]
        paths.append(folder / f"{len(paths)}.parquet")
        write_table(paths[-1], manifest_table(rows))
        for row in rows:
            if row.status is Status.OK:
                by_hash.setdefault(str(row.source_sha256), []).append(row.photo_id)
    expected = {digest: min(found) for digest, found in by_hash.items() if len(found) > 1}
    found = originals(paths).to_pylist()
    assert {row["source_sha256"]: row["photo_id"] for row in found} == expected
    assert len(found) == len(expected)
