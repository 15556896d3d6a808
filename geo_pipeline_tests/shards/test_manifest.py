"""The manifest's columns and words."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

from geo_pipeline.shards.manifest import MANIFEST_SCHEMA, ManifestRow, Status, empty_manifest, manifest_table

COLUMNS = (
    "photo_id url status http_status attempts fetched_at next_attempt_at final_url etag last_modified bytes_received "
    "source_sha256 image_sha256 width height shard offset length error"
)
STATUSES = (
    "ok not_found gone forbidden throttled deferred server_error timeout too_slow connection protocol_error truncated "
    "redirect_error blocked_address invalid_url robots_disallowed opted_out removed empty not_an_image corrupt "
    "too_small too_large bomb placeholder pending"
)


def test_the_columns_are_those_of_the_design_in_its_order() -> None:
    assert " ".join(MANIFEST_SCHEMA.names) == COLUMNS
    assert [field.name for field in fields(ManifestRow)] == MANIFEST_SCHEMA.names


def test_the_vocabulary_is_that_of_the_design() -> None:
    assert " ".join(Status) == STATUSES


def test_only_passing_failures_are_retried() -> None:
    retried = {status.value for status in Status if status.is_retried}
    final = {"ok", "not_found", "gone", "forbidden", "opted_out", "removed", "placeholder", "corrupt", "not_an_image"}
    assert retried.isdisjoint(final)
    assert {"throttled", "deferred", "server_error", "timeout", "connection", "truncated", "pending"} <= retried


def test_rows_become_a_table_with_utc_times() -> None:
    moment = datetime(2026, 2, 3, 4, 5, 6, 789, UTC)
    row = ManifestRow("1", "http://x/1.jpg", Status.DEFERRED, attempts=2, next_attempt_at=moment)
    table = manifest_table([row])
    assert table.schema == empty_manifest().schema == MANIFEST_SCHEMA
    assert table.to_pylist()[0] == {field.name: getattr(row, field.name) for field in fields(row)}
