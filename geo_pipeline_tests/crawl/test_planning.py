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


def listed(urls: dict[str, str]) -> pa.Table:
    return pa.table({"photo_id": pa.array(list(urls), pa.string()), "url": pa.array(list(urls.values()), pa.string())})


ids = st.sampled_from("abcdefgh")
lists = st.dictionaries(ids, st.sampled_from(["u1", "u2"]))
rows = st.builds(
    ManifestRow,
    ids,
    st.sampled_from(["u1", "u2"]),
    st.sampled_from(Status),
    attempts=st.integers(0, 9),
    next_attempt_at=st.sampled_from(TIMES),
)
manifests = st.lists(rows, unique_by=lambda row: row.photo_id)


@settings(deadline=None)  # the first call loads Arrow's kernels
@given(urls=lists, known=manifests, recorded=manifests, doubted=st.sets(st.sampled_from(Status)))
def test_due_is_what_the_rule_says(
    urls: dict[str, str], known: list[ManifestRow], recorded: list[ManifestRow], doubted: set[Status]
) -> None:
    by_key = {(row.photo_id, row.url): row for row in known}
    fresh = {(row.photo_id, row.url) for row in recorded}
    expected = []
    for key in urls.items():
        row = by_key.get(key)
        settled = row is not None and (
            row.next_attempt_at > NOW
            if row.next_attempt_at is not None
            else not (row.status.is_retried or row.status in doubted)
        )
        if not settled and key not in fresh:
            expected.append({"photo_id": key[0], "url": key[1], "attempts": row.attempts if row else 0})
    made = plan(listed(urls), manifest_table(known), manifest_table(recorded), NOW, doubted=doubted)
    assert made.due.to_pylist() == expected
    assert made.is_settled == (not expected and not recorded and len(known) == len(urls))


@settings(deadline=None)  # the first call loads Arrow's kernels
@given(urls=lists, known=manifests, recorded=manifests)
def test_the_new_manifest_prefers_what_was_recorded_unless_a_failure_that_may_pass_meets_a_stored_photo(
    urls: dict[str, str], known: list[ManifestRow], recorded: list[ManifestRow]
) -> None:
    stored = {(row.photo_id, row.url): row for row in known if row.status is Status.OK}
    best = {(row.photo_id, row.url): row for row in (*known, *recorded)}
    for key in best.keys() & stored.keys():
        if best[key].status.is_retried and best[key].status is not Status.ROBOTS_DISALLOWED:
            why = f"kept, the last try to replace it ended in {best[key].status}"
            tried = {"attempts": best[key].attempts, "next_attempt_at": best[key].next_attempt_at}
            best[key] = replace(stored[key], error=why, **tried)
    known_urls = {photo_id: url for photo_id, url in urls.items() if (photo_id, url) in best}
    merged = merge(listed(known_urls), manifest_table(known), manifest_table(recorded))
    assert merged.equals(manifest_table(best[key] for key in known_urls.items()))


def test_a_doubled_id_is_refused() -> None:
    doubled = pa.table({"photo_id": ["a", "b", "a"], "url": ["1", "2", "3"]})
    with pytest.raises(InputError, match="photo id 'a' stands in it more than once"):
        plan(doubled, empty_manifest(), empty_manifest(), NOW, doubted=())
