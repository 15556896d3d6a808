"""A later crawl: what is asked again, what it costs, and what leaves the shards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from geo_pipeline.crawl.bucket import Bucket, BucketResult, crawl_buckets
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import MANIFEST
from geo_pipeline.shards.format import iterate_shard
from geo_pipeline.store import read_table
from geo_pipeline_tests.crawl.servers import PhotoServer, picture

Quick = Callable[..., CrawlSettings]
MakeBucket = Callable[..., Bucket]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 30.0


@dataclass
class Site:
    """A bucket of eight photos of one server, crawled at the beginning; photo 7 has a redirect before it."""

    server: PhotoServer
    bucket: Bucket
    settings: CrawlSettings

    def crawl(self, days: float, **changes: Any) -> tuple[BucketResult, dict[str, dict[str, Any]]]:
        """Crawl so many days after the beginning; the result and the manifest's rows by photo id."""
        self.server.asked.clear()
        settings = self.settings.model_copy(update=changes)
        [result] = crawl_buckets([self.bucket], settings, now=lambda: BEGIN + timedelta(days=days))
        assert result.error is None
        return result, {row["photo_id"]: row for row in read_table(self.bucket.directory / MANIFEST).to_pylist()}

    def stored(self) -> dict[str, bytes]:
        shards = sorted(self.bucket.directory.glob("*.msg"))
        return {record.photo_id: record.image for path in shards for record in iterate_shard(path)}

    def shards(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.bucket.directory.glob("*.msg")}

    def conditions(self) -> dict[str, str | None]:
        asked = [one for one in self.server.asked if "robots" not in one.path]
        return {one.path: one.headers.get("If-None-Match") for one in asked}


@pytest.fixture
def site(server: PhotoServer, make_bucket: MakeBucket, quick: Quick) -> Site:
    server.understands_conditions = True
    server.answer("/moved", 302, Location="/photos/7.jpg")
    listed = {str(number): server.url(f"/photos/{number}.jpg") for number in range(7)} | {"7": server.url("/moved")}
    settings = quick(server.origin, refresh_after_days=DAYS, failure_pause_seconds=600.0, retries=0)
    return Site(server, make_bucket(listed), settings)


def test_nothing_is_asked_before_its_time_and_an_unchanged_photo_costs_no_body(site: Site) -> None:
    _, before = site.crawl(0)
    shards = site.shards()
    result, _ = site.crawl(DAYS - 0.1)
    assert (result.requests, result.changed) == (0, False)
    result, after = site.crawl(DAYS)
    assert (result.requests, result.bytes_received) == (9, 0)
    assert site.conditions() == {f"/photos/{n}.jpg": f'"{n}"' for n in range(8)} | {"/moved": None}
    assert site.shards() == shards
    told = {"fetched_at": BEGIN + timedelta(days=DAYS)}
    assert after == {photo_id: row | told for photo_id, row in before.items()}
    result, _ = site.crawl(2 * DAYS - 0.1)
    assert result.requests == 0


def test_a_changed_photo_is_replaced_and_a_vanished_one_is_gone(site: Site) -> None:
    site.crawl(0)
    before = site.stored()
    site.server.answer("/photos/1.jpg", body=picture(99), ETag='"new"')
    site.server.answer("/photos/2.jpg", 404)
    site.server.answer("/photos/3.jpg", 410)
    site.server.answer("/photos/4.jpg", 403)
    _, rows = site.crawl(DAYS)
    statuses = {photo_id: row["status"] for photo_id, row in rows.items()}
    lost = {"2": "gone", "3": "gone", "4": "forbidden"}
    assert statuses == dict.fromkeys("01567", "ok") | lost
    assert "it was there before" in rows["2"]["error"]
    assert rows["1"]["etag"] == '"new"'
    after = site.stored()
    assert after.keys() == before.keys() - lost.keys()
    assert {photo_id for photo_id in after if after[photo_id] != before[photo_id]} == {"1"}
    result, _ = site.crawl(DAYS + 1)
    assert result.requests == 0


@pytest.mark.parametrize("status", [500, 429])
def test_a_failure_that_may_pass_keeps_the_photo_and_tries_again_later(site: Site, status: int) -> None:
    site.crawl(0)
    before = site.stored()
    site.server.answer("/photos/1.jpg", status)
    _, rows = site.crawl(DAYS)
    assert rows["1"]["status"] == "ok"
    assert rows["1"]["next_attempt_at"] == BEGIN + timedelta(days=DAYS, seconds=600)
    assert site.stored() == before
    del site.server.answers["/photos/1.jpg"]
    result, rows = site.crawl(DAYS + 1)
    assert result.requests == 1
    assert (rows["1"]["next_attempt_at"], rows["1"]["error"]) == (None, None)


def test_a_web_page_in_place_of_a_photo_keeps_the_photo(site: Site) -> None:
    site.crawl(0)
    before = site.stored()
    site.server.answer("/photos/1.jpg", body=b"<html>please sign in")
    _, rows = site.crawl(DAYS)
    assert (rows["1"]["status"], rows["1"]["next_attempt_at"]) == ("ok", None)
    assert rows["1"]["error"] == "kept, the last try to replace it ended in not_an_image"
    assert site.stored() == before
    result, _ = site.crawl(2 * DAYS - 0.1)
    assert result.requests == 0
    del site.server.answers["/photos/1.jpg"]
    _, rows = site.crawl(2 * DAYS)
    assert rows["1"]["error"] is None


def test_a_server_without_conditional_requests_sends_all_and_nothing_is_written(site: Site) -> None:
    site.crawl(0)
    shards = site.shards()
    site.server.understands_conditions = False
    result, rows = site.crawl(DAYS)
    assert result.bytes_received > 0
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert site.shards() == shards


def test_another_size_of_stored_pictures_asks_without_conditions(site: Site) -> None:
    site.crawl(0)
    result, rows = site.crawl(DAYS, image_size=40)
    assert set(site.conditions().values()) == {None}
    assert result.bytes_received > 0
    assert {min(row["width"], row["height"]) for row in rows.values()} == {40}


def test_an_interrupted_refresh_keeps_the_shards_that_the_manifest_names(site: Site, server: PhotoServer) -> None:
    site.crawl(0)
    images, shards = site.stored(), site.shards()
    server.answer("/photos/5.jpg", body=picture(55), ETag='"new"')
    server.delay_seconds = 0.05
    slow = site.settings.model_copy(update={"concurrency": 1, "per_host": 1})
    empty = Bucket("empty", site.bucket.photos.slice(0, 0), site.bucket.directory.with_name("empty"))
    crawl = crawl_buckets([empty, site.bucket], slow, now=lambda: BEGIN + timedelta(days=DAYS))
    next(crawl)
    server.asked.clear()
    while len(site.conditions()) < 4:
        time.sleep(0.005)
    crawl.close()  # type: ignore[attr-defined]
    assert site.shards().items() >= shards.items()
    result, rows = site.crawl(DAYS)
    assert 0 < result.requests < 9
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert site.stored().keys() == images.keys()
    assert {photo_id for photo_id, image in site.stored().items() if image != images[photo_id]} == {"5"}


def test_a_photo_that_must_not_be_kept_leaves_shard_and_manifest_without_a_request(site: Site) -> None:
    site.crawl(0)
    flags = pa.array([photo_id in "25" for photo_id in site.bucket.photos["photo_id"].to_pylist()])
    site.bucket = Bucket("set-000", site.bucket.photos.append_column("removed", flags), site.bucket.directory)
    result, rows = site.crawl(1)
    assert (result.requests, result.changed) == (0, True)
    assert site.stored().keys() == set("013467")
    for photo_id in "25":
        kept = {name for name, value in rows[photo_id].items() if value not in (None, 0)}
        assert kept == {"photo_id", "url", "status"}
        assert rows[photo_id]["status"] == "removed"
    result, _ = site.crawl(2)
    assert (result.requests, result.changed) == (0, False)
    site.bucket = Bucket("set-000", site.bucket.photos.drop_columns("removed"), site.bucket.directory)
    result, rows = site.crawl(3)
    assert result.requests == 2
    assert {row["status"] for row in rows.values()} == {"ok"}
