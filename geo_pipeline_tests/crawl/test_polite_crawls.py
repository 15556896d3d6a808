"""Whole crawls of servers in trouble: silence where it is asked for, the breaker, and speed where none is needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from geo_pipeline.crawl.bucket import Bucket, BucketResult, crawl_buckets
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import LEDGER
from geo_pipeline_tests.crawl.servers import Answer, PhotoServer, picture

Quick = Callable[..., CrawlSettings]
MakeBucket = Callable[..., Bucket]

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def other() -> Iterator[PhotoServer]:
    with closing(PhotoServer()) as running:
        yield running


def photos(server: PhotoServer, count: int) -> list[str]:
    return [server.url(f"/photos/{number}.jpg") for number in range(count)]


def rows_of(result: BucketResult) -> list[dict[str, Any]]:
    assert result.error is None
    assert result.manifest is not None
    rows: list[dict[str, Any]] = result.manifest.to_pylist()
    return rows


def answer_all(server: PhotoServer, count: int, answer: Answer) -> None:
    server.answers |= {f"/photos/{number}.jpg": answer for number in range(count)}


async def broken(_: web.Request) -> web.Response:
    return web.Response(status=500)


def test_an_origin_that_keeps_failing_is_left_alone_and_the_others_go_on(
    server: PhotoServer, other: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    answer_all(server, 60, broken)
    settings = quick(server.origin, other.origin, per_host=4, breaker_failures=8, breaker_pause_seconds=500.0)
    [result] = crawl_buckets([make_bucket([*photos(server, 60), *photos(other, 60)])], settings, now=lambda: NOW)
    rows = rows_of(result)
    assert {row["status"] for row in rows[60:]} == {"ok"}
    assert {row["status"] for row in rows[:60]} <= {"deferred", "server_error"}
    assert 8 <= len(server.asked) < 8 + settings.per_host
    deferred = [row for row in rows[:60] if row["status"] == "deferred"]
    assert len(deferred) >= 52
    assert all("times in a row" in row["error"] for row in deferred)
    pauses = [row["next_attempt_at"] - NOW for row in deferred]
    assert timedelta(seconds=490) < min(pauses) <= max(pauses) <= timedelta(seconds=500)
    assert sum(row["attempts"] for row in rows[:60]) == len(server.asked)  # those being retried are deferred as well


def test_a_few_bad_photos_do_not_open_the_breaker_of_a_healthy_origin(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    for number in range(0, 60, 10):
        server.answers[f"/photos/{number}.jpg"] = broken
    settings = quick(server.origin, per_host=2, breaker_failures=13)
    [result] = crawl_buckets([make_bucket(photos(server, 60))], settings)
    statuses = [row["status"] for row in rows_of(result)]
    assert statuses == ["server_error" if number % 10 == 0 else "ok" for number in range(60)]


def test_an_origin_that_recovers_is_tried_once_and_then_crawled(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    async def broken_at_first(_: web.Request) -> web.Response:
        if len(server.asked) <= 3:
            return web.Response(status=500)
        await asyncio.sleep(0.02)
        most_while_trying.append(server.in_flight)
        return web.Response(body=picture(1))

    most_while_trying: list[int] = []
    answer_all(server, 3, broken_at_first)
    settings = quick(
        server.origin, per_host=3, breaker_failures=3, breaker_pause_seconds=0.3, backoff_seconds=0.8, retries=1
    )
    [result] = crawl_buckets([make_bucket(photos(server, 3))], settings)
    assert [row["status"] for row in rows_of(result)] == ["ok"] * 3
    assert most_while_trying[0] == 1
    assert server.asked[3].at - server.asked[2].at > 0.3


def test_no_request_reaches_an_origin_while_it_asks_for_silence(
    server: PhotoServer, other: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    silences: list[tuple[float, float]] = []

    async def sometimes_busy(_: web.Request) -> web.Response:
        number = len(server.asked)
        if number % 7 == 0 and number < 25:
            silences.append((time.monotonic(), time.monotonic() + 1.0))
            return web.Response(status=429 if number % 2 else 503, headers={"Retry-After": "1"})
        return web.Response(body=picture(number))

    answer_all(server, 40, sometimes_busy)
    for number in range(40):  # redirects from elsewhere are held as well
        other.answer(f"/to/{number}", 302, Location=server.url(f"/photos/{number}.jpg"))
    urls = [*photos(server, 40), *(other.url(f"/to/{number}") for number in range(40))]
    settings = quick(server.origin, other.origin, per_host=1, retries=5)
    [result] = crawl_buckets([make_bucket(urls)], settings)
    assert {row["status"] for row in rows_of(result)} == {"ok"}
    assert len(silences) == 3
    assert [asked for asked in server.asked for start, end in silences if start < asked.at < end] == []


def test_a_429_without_retry_after_silences_the_whole_origin_for_a_while(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    async def busy_at_first(_: web.Request) -> web.Response:
        return web.Response(status=429) if len(server.asked) == 1 else web.Response(body=picture(1))

    answer_all(server, 5, busy_at_first)
    [result] = crawl_buckets([make_bucket(photos(server, 5))], quick(server.origin, per_host=1, backoff_seconds=0.6))
    assert {row["status"] for row in rows_of(result)} == {"ok"}
    assert server.asked[1].at - server.asked[0].at >= 0.3


def test_a_hold_on_a_photo_that_kept_its_picture_counts_for_new_photos_of_its_origin(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    bucket = make_bucket(photos(server, 1))
    list(crawl_buckets([bucket], quick(server.origin), now=lambda: NOW))
    server.answer("/photos/0.jpg", 429, Retry_After="7200")
    other_look = quick(server.origin, quality=35)
    [result] = crawl_buckets([bucket], other_look, now=lambda: NOW)
    assert [row["status"] for row in rows_of(result)] == ["ok"]
    asked = len(server.asked)
    longer = Bucket(bucket.key, make_bucket(photos(server, 3)).photos, bucket.directory)
    [result] = crawl_buckets([longer], other_look, now=lambda: NOW + timedelta(hours=1))
    assert [row["status"] for row in rows_of(result)] == ["ok", "deferred", "deferred"]
    assert len(server.asked) == asked


def test_a_hold_known_to_a_later_bucket_counts_for_the_first(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/photos/0.jpg", 429, Retry_After="7200")
    late = make_bucket({"0": server.url("/photos/0.jpg")}, key="late")
    list(crawl_buckets([late], quick(server.origin), now=lambda: NOW))
    early = make_bucket({"1": server.url("/photos/1.jpg")}, key="early")
    results = crawl_buckets([early, late], quick(server.origin), now=lambda: NOW + timedelta(hours=1))
    assert {row["status"] for result in results for row in rows_of(result)} == {"deferred"}
    assert len(server.asked) == 1


def test_a_ledger_that_cannot_be_understood_stops_no_crawl(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    broken, sound = (make_bucket({key: server.url("/photos/0.jpg")}, key=key) for key in ("broken", "sound"))
    broken.directory.mkdir(parents=True)
    (broken.directory / LEDGER).write_text('{"base": "none"}\n{"photo_id": "broken", "status": "unheard of"}\n')
    results = crawl_buckets([broken, sound], quick(server.origin))
    assert [row["status"] for result in results for row in rows_of(result)] == ["ok", "ok"]


def test_a_hold_outlives_the_interruption_of_a_crawl(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/photos/0.jpg", 429, Retry_After="7200")
    empty = make_bucket({}, key="empty")
    with closing(PhotoServer()) as slower:
        slower.delay_seconds = 1.5
        settings = quick(server.origin, slower.origin)
        bucket = make_bucket([server.url("/photos/0.jpg"), slower.url("/photos/1.jpg")])
        crawl = crawl_buckets([empty, bucket], settings, now=lambda: NOW)
        assert next(crawl).key == "empty"
        deadline = time.monotonic() + 5
        while not server.asked or b"deferred" not in (bucket.directory / LEDGER).read_bytes():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        crawl.close()  # type: ignore[attr-defined]
    more = make_bucket({"0": server.url("/photos/0.jpg"), "2": server.url("/photos/2.jpg")})
    [result] = crawl_buckets([more], settings, now=lambda: NOW)
    assert [row["status"] for row in rows_of(result)] == ["deferred", "deferred"]
    assert len(server.asked) == 1
