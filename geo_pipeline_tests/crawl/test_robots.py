"""robots.txt: what it says, and whole crawls that keep to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from geo_pipeline.crawl.bucket import Bucket, BucketResult, crawl_buckets
from geo_pipeline.crawl.robots import MAX_ROBOTS_BYTES, parse_rules
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline_tests.crawl.servers import PhotoServer, closed_port

Quick = Callable[..., CrawlSettings]
MakeBucket = Callable[..., Bucket]

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def allows(text: str, path: str) -> bool:
    return parse_rules(text.encode(), "geo_pipeline").refusal(URL(f"http://a{path}")) is None


def rows_of(result: BucketResult) -> list[dict[str, Any]]:
    assert result.error is None
    assert result.manifest is not None
    rows: list[dict[str, Any]] = result.manifest.to_pylist()
    return rows


def statuses(result: BucketResult) -> list[str]:
    return [row["status"] for row in rows_of(result)]


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("", "/1.jpg", True),
        ("User-agent: *\nDisallow: /", "/1.jpg", False),
        ("user-AGENT : *\r\ndisALLOW : /private\r\n", "/private/1.jpg", False),
        ("User-agent: *\nDisallow: /private", "/public/1.jpg", True),
        ("User-agent: *\nDisallow: /\nAllow: /photos/", "/photos/1.jpg", True),
        ("User-agent: *\nDisallow: /*.jpg$", "/a/1.jpg", False),
        ("User-agent: *\nDisallow: /*.jpg$", "/a/1.jpg?x", True),
        ("User-agent: otherbot\nDisallow: /", "/1.jpg", True),
        ("User-agent: Geo_Pipeline\nDisallow: /\n\nUser-agent: *\nDisallow:", "/1.jpg", False),
        ("User-agent: *\nDisallow: /\n\nUser-agent: geo_pipeline/0.1 # ours\nDisallow: /x", "/1.jpg", True),
        ("User-agent: a\nUser-agent: geo_pipeline\nUser-agent: b\nDisallow: /", "/1.jpg", False),
        ("User-agent: geo\nAllow: /\n\nUser-agent: *\nDisallow: /", "/1.jpg", False),
        ("User-agent: geo_pipeline2\nDisallow: /", "/1.jpg", True),
        ("User-agent: *\nSitemap: http://a/s.xml\nUser-agent: b\nDisallow: /", "/1.jpg", False),
        ("\ufeffUser-agent: *\nDisallow: /", "/1.jpg", False),
        ("<html><p>User-agent is a word", "/1.jpg", True),
    ],
)
def test_rules_are_read_as_rfc_9309_says(text: str, path: str, allowed: bool) -> None:
    assert allows(text, path) == allowed


def test_what_lies_beyond_500_kib_does_not_count_and_a_line_that_is_cut_there_neither() -> None:
    start = "User-agent: *\nDisallow: /early\n"
    filled = start + "#" * (MAX_ROBOTS_BYTES - len(start) - 12) + "\n"
    text = filled + "Disallow: /cut-here\nDisallow: /late\n"
    assert not allows(text, "/early")
    assert allows(text, "/cut-elsewhere")
    assert allows(text, "/late")


def test_a_robots_txt_made_to_cost_time_costs_little() -> None:
    agents = "".join(f"User-agent: a{number}\n" for number in range(20_000))
    started = time.process_time()
    parse_rules((agents + "Disallow: /x\n" * 15_000).encode(), "geo_pipeline")
    assert time.process_time() - started < 10


def test_a_crawl_asks_once_for_each_origins_rules_and_keeps_to_them(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/robots.txt", body=b"User-agent: t\nDisallow: /photos/1\n", X_Robots_Tag="noindex")
    with closing(PhotoServer()) as other:
        urls = [on.url(f"/photos/{number}.jpg") for on in (server, other) for number in range(20)]
        settings = quick(server.origin, other.origin, user_agent="t/1")
        [result] = crawl_buckets([make_bucket(urls)], settings, now=lambda: NOW)
        rows = rows_of(result)
        forbidden = [row for row in rows[:20] if "/photos/1" in row["url"]]
        assert {row["status"] for row in forbidden} == {"robots_disallowed"}
        assert {row["next_attempt_at"] for row in forbidden} == {NOW + timedelta(days=1)}
        assert {row["attempts"] for row in forbidden} == {0}
        assert {row["status"] for row in rows if row not in forbidden} == {"ok"}
        assert result.requests == len(rows) - len(forbidden) == len(server.asked) + len(other.asked)
        assert not [path for path in server.paths() if path.startswith("/photos/1")]
        for asked in (server.asked_for_robots, other.asked_for_robots):
            assert [one.headers["User-Agent"] for one in asked] == ["t/1"]
        assert server.asked_for_robots[0].at < server.asked[0].at


def test_what_robots_txt_forbids_is_looked_at_again_a_day_later(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/robots.txt", body=b"User-agent: *\nDisallow: /\n")
    bucket, settings = make_bucket([server.url("/photos/1.jpg")]), quick(server.origin)
    list(crawl_buckets([bucket], settings, now=lambda: NOW))
    [result] = crawl_buckets([bucket], settings, now=lambda: NOW + timedelta(hours=23))
    assert not result.changed
    assert len(server.asked_for_robots) == 1
    server.answer("/robots.txt", body=b"User-agent: *\nAllow: /\n")
    [result] = crawl_buckets([bucket], settings, now=lambda: NOW + timedelta(hours=25))
    assert statuses(result) == ["ok"]


def test_a_crawl_that_ignores_robots_txt_does_not_ask_for_it(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/robots.txt", body=b"User-agent: *\nDisallow: /\n")
    [result] = crawl_buckets([make_bucket([server.url("/photos/1.jpg")])], quick(server.origin, respect_robots=False))
    assert statuses(result) == ["ok"]
    assert server.asked_for_robots == []


@pytest.mark.parametrize("code", [204, 400, 401, 403, 404, 410, 451])
def test_without_a_robots_txt_everything_is_allowed(
    code: int, server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/robots.txt", code)
    [result] = crawl_buckets([make_bucket([server.url("/photos/1.jpg")])], quick(server.origin))
    assert statuses(result) == ["ok"]
    assert len(server.asked_for_robots) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_robots_txt_that_is_refused_for_now_defers_its_origin_and_no_other(
    code: int, server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/robots.txt", code)
    with closing(PhotoServer()) as other:
        urls = [on.url(f"/photos/{number}.jpg") for on in (server, other) for number in range(5)]
        settings = quick(server.origin, other.origin, failure_pause_seconds=60.0)
        [result] = crawl_buckets([make_bucket(urls)], settings, now=lambda: NOW)
    rows = rows_of(result)
    assert statuses(result) == ["deferred"] * 5 + ["ok"] * 5
    assert {row["next_attempt_at"] for row in rows[:5]} == {NOW + timedelta(seconds=60)}
    assert f"robots.txt cannot be read: HTTP {code}" in rows[0]["error"]
    assert server.asked == []
    assert len(server.asked_for_robots) == 1 + settings.retries


def test_a_robots_txt_is_tried_again_before_its_origin_is_given_up(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    async def broken_once(_: web.Request) -> web.Response:
        return web.Response(status=503 if len(server.asked_for_robots) == 1 else 404)

    server.answers["/robots.txt"] = broken_once
    [result] = crawl_buckets([make_bucket([server.url("/photos/1.jpg")])], quick(server.origin))
    assert statuses(result) == ["ok"]


def test_a_long_retry_after_of_a_robots_txt_is_kept(server: PhotoServer, make_bucket: MakeBucket, quick: Quick) -> None:
    server.answer("/robots.txt", 503, Retry_After="7200")
    [result] = crawl_buckets([make_bucket([server.url("/photos/1.jpg")])], quick(server.origin), now=lambda: NOW)
    [row] = rows_of(result)
    assert (row["status"], row["next_attempt_at"]) == ("deferred", NOW + timedelta(hours=2))
    assert (len(server.asked_for_robots), server.asked) == (1, [])


def test_an_origin_that_cannot_be_reached_is_not_asked_for_photos_and_says_why(
    make_bucket: MakeBucket, quick: Quick
) -> None:
    port = closed_port()
    urls = [f"http://127.0.0.1:{port}/{number}.jpg" for number in range(5)]
    [result] = crawl_buckets([make_bucket(urls)], quick(f"127.0.0.1:{port}"), now=lambda: NOW)
    assert statuses(result) == ["connection"] * 5
    assert result.requests == 0
    assert all(row["next_attempt_at"] > NOW for row in rows_of(result))


def test_a_silent_robots_txt_holds_up_its_own_origin_only(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    async def silence(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    server.answers["/robots.txt"] = silence
    with closing(PhotoServer()) as other:
        urls = [on.url(f"/photos/{number}.jpg") for on in (server, other) for number in range(20)]
        settings = quick(server.origin, other.origin, timeout_seconds=1.0, concurrency=2, retries=0)
        started = time.monotonic()
        [result] = crawl_buckets([make_bucket(urls)], settings)
        assert statuses(result) == ["timeout"] * 20 + ["ok"] * 20
        assert other.asked[-1].at < started + 1.0
    assert server.asked == []


def test_a_redirected_robots_txt_counts_for_the_origin_that_redirects(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    with closing(PhotoServer()) as other:
        server.answer("/robots.txt", 301, Location=other.url("/rules"))
        other.answer("/rules", body=b"User-agent: *\nDisallow: /photos/1.jpg")
        urls = [on.url(f"/photos/{number}.jpg") for on in (server, other) for number in range(3)]
        [result] = crawl_buckets([make_bucket(urls)], quick(server.origin, other.origin))
        assert statuses(result) == ["ok", "robots_disallowed", "ok", "ok", "ok", "ok"]


@pytest.mark.parametrize("target", ["/robots.txt", "http://169.254.169.254/robots.txt", "ftp://127.0.0.1/x", ""])
def test_a_robots_txt_that_is_redirected_nowhere_forbids_nothing(
    target: str, server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    server.answer("/robots.txt", 302, Location=target)
    [result] = crawl_buckets([make_bucket([server.url("/photos/1.jpg")])], quick(server.origin))
    assert statuses(result) == ["ok"]


def test_five_redirects_of_a_robots_txt_are_followed_even_if_photos_may_have_none(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    for hop, name in enumerate(["/robots.txt", "/1", "/2", "/3", "/4"], start=1):
        server.answer(name, 302, Location=f"/{hop}")
    server.answer("/5", body=b"User-agent: *\nDisallow: /photos/")
    [result] = crawl_buckets([make_bucket([server.url("/photos/1.jpg")])], quick(server.origin, max_redirects=0))
    assert statuses(result) == ["robots_disallowed"]


def test_a_photo_that_is_redirected_keeps_to_the_rules_of_where_it_is_led(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    with closing(PhotoServer()) as other:
        other.answer("/robots.txt", body=b"User-agent: *\nDisallow: /photos/1.jpg")
        for number in (1, 2):
            server.answer(f"/{number}", 302, Location=other.url(f"/photos/{number}.jpg"))
        [result] = crawl_buckets(
            [make_bucket([server.url("/1"), server.url("/2")])], quick(server.origin, other.origin)
        )
        assert statuses(result) == ["robots_disallowed", "ok"]
        assert other.paths() == ["/photos/2.jpg"]


def test_an_endless_robots_txt_is_read_to_its_limit(server: PhotoServer, make_bucket: MakeBucket, quick: Quick) -> None:
    sent = []

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"User-agent: *\nDisallow: /photos/1.jpg\n")
        while len(sent) < 2000:
            await response.write(b"# nothing\n" * 10_000)
            sent.append(1)
        return response

    server.answers["/robots.txt"] = endless
    urls = [server.url("/photos/1.jpg"), server.url("/photos/2.jpg")]
    [result] = crawl_buckets([make_bucket(urls)], quick(server.origin))
    assert statuses(result) == ["robots_disallowed", "ok"]
    assert len(sent) < 1000


def test_a_crawl_delay_is_kept_with_one_connection(server: PhotoServer, make_bucket: MakeBucket, quick: Quick) -> None:
    server.answer("/robots.txt", body=b"User-agent: *\nCrawl-delay: 0.3\n")
    urls = [server.url(f"/photos/{number}.jpg") for number in range(4)]
    [result] = crawl_buckets([make_bucket(urls)], quick(server.origin))
    assert statuses(result) == ["ok"] * 4
    moments = [asked.at for asked in (*server.asked_for_robots, *server.asked)]
    assert min(after - before for before, after in pairwise(moments)) > 0.28
    assert server.most_in_flight == 1


def test_no_robots_txt_is_asked_for_at_an_address_that_is_not_allowed(
    server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    [result] = crawl_buckets([make_bucket([server.url("/photos/1.jpg")])], quick())
    assert statuses(result) == ["blocked_address"]
    assert server.asked_for_robots == []
