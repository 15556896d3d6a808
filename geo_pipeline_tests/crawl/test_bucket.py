"""Whole crawls: resuming, stopping, politeness over time, and what a second crawl does."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from aiohttp import web

from geo_pipeline import store
from geo_pipeline.crawl.bucket import Bucket, CrawlProgress, crawl_buckets, crawl_buckets_async
from geo_pipeline.crawl.photo import store_picture
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import LEDGER, MANIFEST
from geo_pipeline.errors import InputError
from geo_pipeline.shards.format import iterate_shard
from geo_pipeline.shards.manifest import MANIFEST_SCHEMA
from geo_pipeline.shards.reader import ShardReader
from geo_pipeline_tests.crawl.servers import PhotoServer, picture

Quick = Callable[..., CrawlSettings]
MakeBucket = Callable[..., Bucket]


def urls(server: PhotoServer, count: int, first: int = 0) -> dict[str, str]:
    return {str(number): server.url(f"/photos/{number}.jpg") for number in range(first, first + count)}


def check_store(bucket: Bucket, settings: CrawlSettings) -> pa.Table:
    """The manifest, after comparing it with the shards byte by byte."""
    manifest = store.read_table(bucket.directory / MANIFEST)
    assert manifest.schema.names == MANIFEST_SCHEMA.names
    assert manifest["photo_id"].to_pylist() == bucket.photos["photo_id"].to_pylist()
    reader, stored = ShardReader(bucket.directory), 0
    for row in manifest.to_pylist():
        if row["status"] == "ok":
            stored += 1
            photo_id, image = reader.record(row["shard"], row["offset"], row["length"])
            assert photo_id == row["photo_id"]
            expected = store_picture(picture(int(photo_id)), settings)
            assert (image, row["image_sha256"]) == (expected.jpeg, expected.image_sha256)
            assert (row["width"], row["height"]) == (expected.width, expected.height)
    in_shards = [record for path in sorted(bucket.directory.glob("*.msg")) for record in iterate_shard(path)]
    assert len(in_shards) == stored
    assert {path.name for path in bucket.directory.iterdir()} == {MANIFEST, *manifest["shard"].drop_null().to_pylist()}
    return manifest


def test_a_crawl_stores_every_photo_and_a_second_one_asks_for_nothing(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    settings = quick(server.origin, records_per_shard=8)
    buckets = [make_bucket(urls(server, 20, first=20 * n), key=f"set-{n:03d}") for n in range(3)]
    results = list(crawl_buckets(buckets, settings))
    assert sorted(result.key for result in results) == [bucket.key for bucket in buckets]
    assert all(result.changed and result.requests == 20 for result in results)
    manifests = [check_store(bucket, settings) for bucket in buckets]
    assert manifests[0]["etag"].to_pylist()[3] == '"3"'
    assert sorted(set(manifests[1]["shard"].to_pylist())) == [f"shard-{n:05d}.msg" for n in range(3)]
    again = list(crawl_buckets(buckets, settings))
    assert [(result.requests, result.changed) for result in again] == [(0, False)] * 3
    assert len(server.asked) == 60
    assert Counter(server.paths()).most_common(1)[0][1] == 1


def test_connections_to_one_origin_stay_within_the_limit(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.delay_seconds = 0.05
    settings = quick(server.origin, concurrency=32, per_host=3)
    buckets = [make_bucket(urls(server, 15, first=15 * n), key=f"set-{n:03d}") for n in range(2)]
    assert all(result.error is None for result in crawl_buckets(buckets, settings))
    assert server.most_in_flight == 3


def test_a_short_retry_after_silences_its_origin_but_no_other(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    other = PhotoServer()
    try:
        refusals = iter([time.monotonic()])

        async def refuse_once(_: web.Request) -> web.Response:
            if next(refusals, None) is None:
                return web.Response(body=picture(999))
            return web.Response(status=429, headers={"Retry-After": "1"})

        server.answers["/photos/999.jpg"] = refuse_once
        listed = {"999": server.url("/photos/999.jpg"), **urls(server, 10), **urls(other, 30, first=100)}
        settings = quick(server.origin, other.origin, per_host=1)
        started = time.monotonic()
        finished = {}
        for result in crawl_buckets([make_bucket(listed), make_bucket(urls(other, 5), key="second")], settings):
            finished[result.key] = time.monotonic() - started
            assert result.manifest is not None
            assert set(result.manifest["status"].to_pylist()) == {"ok"}
        gap = server.asked[1].at - server.asked[0].at
        assert gap >= 1.0
        assert finished["second"] < finished["set-000"]
        assert other.asked[-1].at < server.asked[1].at
        assert 1.0 <= finished["set-000"] < 5.0
    finally:
        other.close()


def test_a_long_retry_after_defers_the_origin_until_its_time(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/photos/0.jpg", 429, Retry_After="7200")
    settings = quick(server.origin, per_host=1)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    bucket = make_bucket(urls(server, 5))
    [result] = crawl_buckets([bucket], settings, now=lambda: now)
    assert result.manifest is not None
    rows = result.manifest.to_pylist()
    assert [row["status"] for row in rows] == ["deferred"] * 5
    assert result.requests == 1
    assert [row["attempts"] for row in rows] == [1, 0, 0, 0, 0]
    assert all(abs(row["next_attempt_at"] - now - timedelta(hours=2)) < timedelta(seconds=2) for row in rows)
    # an hour later the known photos are not due, and a new one of that origin is deferred without a request
    longer = Bucket(bucket.key, make_bucket(urls(server, 6)).photos, bucket.directory)
    [result] = crawl_buckets([longer], settings, now=lambda: now + timedelta(hours=1))
    assert result.requests == 0
    assert result.manifest is not None
    assert set(result.manifest["status"].to_pylist()) == {"deferred"}
    del server.answers["/photos/0.jpg"]
    [result] = crawl_buckets([longer], settings, now=lambda: now + timedelta(hours=3))
    assert result.requests == 6
    assert set(check_store(longer, settings)["status"].to_pylist()) == {"ok"}


def test_a_failed_photo_is_asked_for_again_when_its_time_has_come(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/photos/1.jpg", 500)
    server.answer("/photos/2.jpg", 404)
    settings = quick(server.origin, failure_pause_seconds=600.0)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    bucket = make_bucket(urls(server, 4))
    [result] = crawl_buckets([bucket], settings, now=lambda: now)
    assert result.requests == 4 + settings.retries
    server.answers.clear()
    [result] = crawl_buckets([bucket], settings, now=lambda: now + timedelta(seconds=599))
    assert (result.requests, result.changed) == (0, False)
    [result] = crawl_buckets([bucket], settings, now=lambda: now + timedelta(seconds=600))
    assert (result.requests, result.changed) == (1, True)
    manifest = check_store(bucket, settings)
    assert manifest["status"].to_pylist() == ["ok", "ok", "not_found", "ok"]
    assert manifest["attempts"].to_pylist() == [1, 3, 1, 1]


def test_dropped_and_replaced_photos_leave_the_shards(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    settings = quick(server.origin, records_per_shard=4)
    bucket = make_bucket(urls(server, 12))
    list(crawl_buckets([bucket], settings))
    listed = urls(server, 12) | {"5": server.url("/photos/5.jpg?new")}
    del listed["2"], listed["11"]
    changed = make_bucket(listed)
    [result] = crawl_buckets([changed], settings)
    assert (result.requests, result.changed) == (1, True)
    assert check_store(changed, settings).num_rows == 10


def test_a_refusal_is_reconsidered_when_the_limits_change(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    bucket = make_bucket(urls(server, 2))
    [result] = crawl_buckets([bucket], quick())
    assert result.manifest is not None
    assert result.manifest["status"].to_pylist() == ["blocked_address"] * 2
    [result] = crawl_buckets([bucket], quick(server.origin))
    assert result.manifest is not None
    assert result.manifest["status"].to_pylist() == ["ok"] * 2


@pytest.mark.parametrize("change", [{"image_size": 40}, {"quality": 35}])
def test_stored_photos_are_replaced_when_the_settings_of_pictures_change(
    change: dict[str, int], server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    bucket = make_bucket(urls(server, 10))
    server.answer("/photos/4.jpg", 404)
    list(crawl_buckets([bucket], quick(server.origin, records_per_shard=4)))
    changed = quick(server.origin, records_per_shard=4, **change)
    [result] = crawl_buckets([bucket], changed)
    assert (result.requests, result.changed) == (9, True)
    check_store(bucket, changed)
    [result] = crawl_buckets([bucket], changed)
    assert (result.requests, result.changed) == (0, False)


def test_a_stored_photo_outlives_a_failure_that_may_pass_and_is_due_again_alone(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    before, after = (quick(server.origin, quality=quality, failure_pause_seconds=600.0) for quality in (90, 35))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    bucket = make_bucket(urls(server, 5))
    [first] = crawl_buckets([bucket], before, now=lambda: now)
    server.answer("/photos/1.jpg", 503)
    server.answer("/photos/2.jpg", body=b"half", Content_Length="9000")
    server.answer("/photos/3.jpg", 404)
    [second] = crawl_buckets([bucket], after, now=lambda: now)
    assert first.manifest is not None
    assert second.manifest is not None
    old, new = first.manifest.to_pylist(), second.manifest.to_pylist()
    assert [row["status"] for row in new] == ["ok", "ok", "ok", "not_found", "ok"]
    reader = ShardReader(bucket.directory)
    for number, settings in enumerate([after, before, before, None, after]):
        if settings:
            image = reader.image(new[number]["shard"], new[number]["offset"], new[number]["length"])
            assert image == store_picture(picture(number), settings).jpeg
    for number in (1, 2):
        moved = {"shard", "offset", "attempts", "next_attempt_at", "error"}
        assert {name for name in new[number] if new[number][name] != old[number][name]} <= moved
        assert new[number]["next_attempt_at"] == now + timedelta(seconds=600)
        assert "kept, the last try to replace it ended in" in new[number]["error"]
    [third] = crawl_buckets([bucket], after, now=lambda: now + timedelta(seconds=599))
    assert (third.requests, third.changed) == (0, False)
    server.answers.clear()
    [fourth] = crawl_buckets([bucket], after, now=lambda: now + timedelta(seconds=600))
    assert fourth.requests == 2
    assert check_store(bucket, after)["error"].to_pylist() == [None, None, None, "HTTP 404 Not Found", None]


def test_nothing_is_lost_when_the_whole_server_is_away(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    settings = quick(server.origin, retries=0)
    bucket = make_bucket(urls(server, 12))
    list(crawl_buckets([bucket], settings))
    server.answers |= {f"/photos/{number}.jpg": _too_many_requests for number in range(12)}
    [result] = crawl_buckets([bucket], settings.model_copy(update={"image_size": 50}))
    assert result.changed
    assert check_store(bucket, settings)["status"].to_pylist() == ["ok"] * 12


async def _too_many_requests(_: web.Request) -> web.Response:
    return web.Response(status=429, headers={"Retry-After": "7200"})


def test_an_interrupted_crawl_that_continues_with_other_settings_mixes_no_pictures(
    server: PhotoServer, slow_crawl: tuple[Bucket, CrawlSettings], tmp_path: Path
) -> None:
    bucket, settings = slow_crawl
    server.answer("/photos/7.jpg", 404)
    crawl = crawl_buckets([Bucket("empty", bucket.photos.slice(0, 0), tmp_path / "empty"), bucket], settings)
    next(crawl)
    wait_for_requests(server, 60)
    crawl.close()  # type: ignore[attr-defined]
    server.delay_seconds = 0.0
    changed = settings.model_copy(update={"quality": 35})
    [result] = crawl_buckets([bucket], changed)
    assert result.requests == 299  # what was refused is still true
    check_store(bucket, changed)


def test_another_size_suffix_asks_again_for_what_was_not_found(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/x_z.jpg", body=picture(1))
    bucket = make_bucket([server.url("/x.jpg")])
    [result] = crawl_buckets([bucket], quick(server.origin, size_suffix="b"))
    assert result.manifest is not None
    assert result.manifest["status"].to_pylist() == ["not_found"]
    [result] = crawl_buckets([bucket], quick(server.origin, size_suffix="z"))
    assert result.manifest is not None
    assert result.manifest["status"].to_pylist() == ["ok"]


def test_a_lost_shard_is_fetched_anew(server: PhotoServer, make_bucket: MakeBucket, quick: Quick) -> None:
    settings = quick(server.origin, records_per_shard=4)
    bucket = make_bucket(urls(server, 12))
    list(crawl_buckets([bucket], settings))
    (bucket.directory / "shard-00001.msg").unlink()
    os.truncate(bucket.directory / "shard-00002.msg", (bucket.directory / "shard-00002.msg").stat().st_size - 1)
    [result] = crawl_buckets([bucket], settings)
    assert result.requests == 5
    check_store(bucket, settings)


def test_a_bucket_that_fails_does_not_stop_the_others(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    bad, good = make_bucket(urls(server, 3), key="bad"), make_bucket(urls(server, 3), key="good")
    bad.directory.parent.mkdir(parents=True)
    bad.directory.write_text("a file where a folder should be")
    doubled = Bucket("doubled", pa.concat_tables([good.photos, good.photos]), good.directory.with_name("doubled"))
    results = {result.key: result for result in crawl_buckets([bad, doubled, good], quick(server.origin))}
    assert isinstance(results["bad"].error, OSError)
    assert isinstance(results["doubled"].error, InputError)
    assert "more than once" in str(results["doubled"].error)
    assert results["good"].error is None


def test_a_full_disk_fails_the_bucket_and_loses_nothing(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = quick(server.origin, concurrency=2)
    bucket, write, free = make_bucket(urls(server, 30)), os.write, [20_000]

    def write_while_there_is_space(descriptor: int, content: bytes) -> int:
        if len(content) > 10:  # what wakes event loops is shorter
            free[0] -= len(content)
            if free[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_while_there_is_space)
        [result] = crawl_buckets([bucket], settings)
    assert isinstance(result.error, OSError)
    assert result.error.errno == errno.ENOSPC
    assert 0 < len(server.asked) < 30
    asked = len(server.asked)
    [result] = crawl_buckets([bucket], settings)
    assert result.requests <= 30 - asked + settings.concurrency
    check_store(bucket, settings)


def test_two_crawls_of_one_bucket_at_once_are_refused(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    settings = quick(server.origin, per_host=1)
    server.delay_seconds = 0.05
    bucket, quicker = make_bucket(urls(server, 20)), make_bucket({}, key="empty")
    first = crawl_buckets([quicker, bucket], settings)
    assert next(first).key == "empty"
    time.sleep(0.2)
    [second] = crawl_buckets([bucket], settings)
    assert "another process is crawling this bucket" in str(second.error)
    assert [result.error for result in first] == [None]


def test_progress_ends_with_every_photo_accounted_for(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/photos/3.jpg", 404)
    seen: list[CrawlProgress] = []
    settings = quick(server.origin)
    list(crawl_buckets([make_bucket(urls(server, 10))], settings, on_progress=seen.append))
    assert (seen[-1].photos_done, seen[-1].photos_total, seen[-1].requests) == (10, 10, 10)
    assert seen[-1].outcomes == {"ok": 9, "not_found": 1}
    assert seen[-1].buckets_done == seen[-1].buckets_total == 1


def test_a_crawl_runs_inside_a_running_loop_too(server: PhotoServer, make_bucket: MakeBucket, quick: Quick) -> None:
    settings = quick(server.origin)

    async def both() -> list[str]:
        keys = [result.key async for result in crawl_buckets_async([make_bucket(urls(server, 3), key="a")], settings)]
        return keys + [result.key for result in crawl_buckets([make_bucket(urls(server, 3), key="b")], settings)]

    assert asyncio.run(both()) == ["a", "b"]


def test_the_agent_tells_who_it_is(server: PhotoServer, make_bucket: MakeBucket, quick: Quick) -> None:
    list(crawl_buckets([make_bucket(urls(server, 1))], quick(server.origin, user_agent="t/1", contact="a@b.example")))
    assert server.asked[0].headers["User-Agent"] == "t/1 (+a@b.example)"


def test_the_size_suffix_is_asked_for_and_the_listed_url_stays(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/x_z.jpg", body=picture(1))
    bucket = make_bucket([server.url("/x.jpg")])
    [result] = crawl_buckets([bucket], quick(server.origin, size_suffix="z"))
    assert result.manifest is not None
    [row] = result.manifest.to_pylist()
    assert (row["status"], row["url"], row["final_url"]) == ("ok", server.url("/x.jpg"), server.url("/x_z.jpg"))


CHILD = """
import json, sys
import pyarrow as pa
from pathlib import Path
from geo_pipeline.crawl.bucket import Bucket, crawl_buckets
from geo_pipeline.crawl.settings import CrawlSettings

job = json.loads(sys.argv[1])
photos = pa.table({"photo_id": list(job["urls"]), "url": list(job["urls"].values())})
bucket = Bucket("set-000", photos, Path(job["directory"]))
for result in crawl_buckets([bucket], CrawlSettings(**job["settings"])):
    print(result.requests, flush=True)
"""


def start_child(bucket: Bucket, settings: CrawlSettings) -> subprocess.Popen[bytes]:
    listed = dict(zip(bucket.photos["photo_id"].to_pylist(), bucket.photos["url"].to_pylist(), strict=True))
    job = {"urls": listed, "directory": str(bucket.directory), "settings": settings.model_dump(mode="json")}
    return subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(job)], stderr=subprocess.PIPE)


def wait_for_requests(server: PhotoServer, count: int) -> None:
    """Wait for so many requests, then slow the server down, so that no crawl is finished before it is stopped."""
    server.delay_seconds = 0.01
    deadline = time.monotonic() + 20
    while len(server.asked) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    server.delay_seconds = 0.2


@pytest.fixture
def slow_crawl(server: PhotoServer, make_bucket: MakeBucket, quick: Quick) -> tuple[Bucket, CrawlSettings]:
    """A crawl of about half a second."""
    server.delay_seconds = 0.01
    settings = quick(server.origin, records_per_shard=16, concurrency=6, per_host=6)
    return make_bucket(urls(server, 300)), settings


@pytest.mark.parametrize("kills", [(130,), pytest.param((23, 60, 90, 171, 250), marks=pytest.mark.slow)])
def test_after_kill_9_at_most_what_was_in_flight_is_asked_for_again(
    kills: tuple[int, ...], server: PhotoServer, slow_crawl: tuple[Bucket, CrawlSettings]
) -> None:
    bucket, settings = slow_crawl
    for kill_at in kills:
        child = start_child(bucket, settings)
        wait_for_requests(server, kill_at)
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL
        assert not (bucket.directory / MANIFEST).exists()
    server.delay_seconds = 0.0
    [result] = crawl_buckets([bucket], settings)
    assert result.error is None
    assert set(check_store(bucket, settings)["status"].to_pylist()) == {"ok"}
    assert len(server.asked) <= 300 + len(kills) * settings.concurrency
    assert not (bucket.directory / LEDGER).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupt_stops_within_seconds_and_keeps_everything(
    number: signal.Signals, server: PhotoServer, slow_crawl: tuple[Bucket, CrawlSettings]
) -> None:
    bucket, settings = slow_crawl
    child = start_child(bucket, settings)
    wait_for_requests(server, 100)
    started = time.monotonic()
    child.send_signal(number)
    _, errors = child.communicate(timeout=10)
    assert time.monotonic() - started < 5
    assert child.returncode != 0
    assert (b"KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    assert b"Task was destroyed" not in errors
    asked = len(server.asked)
    server.delay_seconds = 0.0
    [result] = crawl_buckets([bucket], settings)
    assert result.requests <= 300 - asked + settings.concurrency
    check_store(bucket, settings)


def test_leaving_the_iteration_early_keeps_what_was_recorded(
    server: PhotoServer, slow_crawl: tuple[Bucket, CrawlSettings], tmp_path: Path
) -> None:
    bucket, settings = slow_crawl
    empty = Bucket("empty", bucket.photos.slice(0, 0), tmp_path / "empty")
    crawl = crawl_buckets([empty, bucket], settings)
    assert next(crawl).key == "empty"
    wait_for_requests(server, 60)
    crawl.close()  # type: ignore[attr-defined]
    asked = len(server.asked)
    [result] = crawl_buckets([bucket], settings)
    assert result.requests <= 300 - asked + settings.concurrency
    check_store(bucket, settings)
