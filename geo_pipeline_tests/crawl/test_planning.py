"""What is due and what the new manifest holds, against a plain loop."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.crawl.planning import merge, plan
from geo_pipeline.errors import InputError
from geo_pipeline.shards.manifest import ManifestRow, Status, empty_manifest, manifest_table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = [None, NOW - timedelta(seconds=1), NOW, NOW + timedelta(seconds=1)]


def listed(urls: dict[str, str], removed: set[str] | None = None) -> pa.Table:
    photos = pa.table(
        {"photo_id": pa.array(list(urls), pa.string()), "url": pa.array(list(urls.values()), pa.string())}
    )
    if removed is None:
        return photos
    return photos.append_column("removed", pa.array([photo_id in removed for photo_id in urls], pa.bool_()))


ids = st.sampled_from("abcdefgh")
lists = st.dictionaries(ids, st.sampled_from(["u1", "u2"]))
rows = st.builds(
    ManifestRow,
    ids,
    st.sampled_from(["u1", "u2"]),
    st.sampled_from(Status),
    attempts=st.integers(0, 9),
    fetched_at=st.sampled_from(TIMES),
    next_attempt_at=st.sampled_from(TIMES),
)
manifests = st.lists(rows, unique_by=lambda row: row.photo_id)


@settings(deadline=None)  # the first call loads Arrow's kernels
@given(
    urls=lists,
    known=manifests,
    recorded=manifests,
    doubted=st.sets(st.sampled_from(Status)),
    removed=st.none() | st.sets(ids),
    refresh_seconds=st.sampled_from([None, 0, 1, 2]),
)
def test_due_is_what_the_rule_says(
    urls: dict[str, str],
    known: list[ManifestRow],
    recorded: list[ManifestRow],
    doubted: set[Status],
    removed: set[str] | None,
    refresh_seconds: int | None,
) -> None:
    by_key = {(row.photo_id, row.url): (index, row) for index, row in enumerate(known)}
    fresh = {(row.photo_id, row.url) for row in recorded}
    refresh_after = None if refresh_seconds is None else timedelta(seconds=refresh_seconds)
    expected = []
    for key in urls.items():
        index, row = by_key.get(key, (None, None))
        settled, is_old = False, False
        if row is not None:
            is_old = (
                refresh_after is not None
                and row.status is Status.OK
                and row.next_attempt_at is None
                and row.fetched_at is not None
                and row.fetched_at + refresh_after <= NOW
            )
            waits = row.next_attempt_at is not None
            settled = (
                row.next_attempt_at > NOW if waits else not (row.status.is_retried or row.status in doubted or is_old)
            )
            settled = settled and row.status is not Status.REMOVED
        if key[0] in (removed or ()) or key in fresh or settled:
            continue
        stored = index if is_old and Status.OK not in doubted else None
        attempts = row.attempts if row and stored is None else 0
        expected.append({"photo_id": key[0], "url": key[1], "attempts": attempts, "stored": stored})
    tables = listed(urls, removed), manifest_table(known), manifest_table(recorded)
    made = plan(*tables, NOW, doubted=doubted, refresh_after=refresh_after)
    assert made.due.to_pylist() == expected
    said = {
        row.photo_id for key, (_, row) in by_key.items() if row.status is Status.REMOVED and urls.get(key[0]) == key[1]
    }
    same_removals = said == (removed or set()) & urls.keys()
    assert made.is_settled == (not expected and not recorded and len(known) == len(urls) and same_removals)


@settings(deadline=None)  # the first call loads Arrow's kernels
@given(urls=lists, known=manifests, recorded=manifests, removed=st.none() | st.sets(ids))
def test_the_new_manifest_prefers_what_was_recorded_unless_a_failure_meets_a_stored_photo(
    urls: dict[str, str], known: list[ManifestRow], recorded: list[ManifestRow], removed: set[str] | None
) -> None:
    no_picture = {Status.EMPTY, Status.NOT_AN_IMAGE, Status.CORRUPT}
    stored = {(row.photo_id, row.url): row for row in known if row.status is Status.OK}
    best = {(row.photo_id, row.url): row for row in (*known, *recorded)}
    for row in recorded:
        key = row.photo_id, row.url
        passes = row.status.is_retried and row.status is not Status.ROBOTS_DISALLOWED
        if key in stored and (passes or row.status in no_picture):
            why = f"kept, the last try to replace it ended in {row.status}"
            tried = {"attempts": row.attempts, "next_attempt_at": row.next_attempt_at}
            seen = stored[key].fetched_at if row.next_attempt_at else row.fetched_at
            best[key] = replace(stored[key], error=why, fetched_at=seen, **tried)
    for key in urls.items():
        if key[0] in (removed or ()):
            best[key] = ManifestRow(*key, Status.REMOVED)
    known_urls = {photo_id: url for photo_id, url in urls.items() if (photo_id, url) in best}
    merged = merge(listed(known_urls, removed), manifest_table(known), manifest_table(recorded))
    assert merged.equals(manifest_table(best[key] for key in known_urls.items()))


def test_a_doubled_id_is_refused() -> None:
    doubled = pa.table({"photo_id": ["a", "b", "a"], "url": ["1", "2", "3"]})
    with pytest.raises(InputError, match="photo id 'a' stands in it more than once"):
        plan(doubled, empty_manifest(), empty_manifest(), NOW, doubted=())
