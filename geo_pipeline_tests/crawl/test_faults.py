"""Every fault that a server can commit and the outcome it must have: a whole crawl for each, over real sockets."""

from __future__ import annotations

import gzip
import hashlib
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from geo_pipeline.crawl import connections
from geo_pipeline.crawl.bucket import Bucket, BucketResult, crawl_buckets
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline_tests.crawl.servers import RESET, PhotoServer, RawServer, closed_port, picture

Quick = Callable[..., CrawlSettings]
MakeBucket = Callable[..., Bucket]

PHOTO = picture(1)
TWICE = gzip.compress(gzip.compress(PHOTO))
NOISE = random.Random(2).randbytes(200)  # noqa: S311 noise
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
WHOLE = b"Content-Length: %d\r\n\r\n" % len(PHOTO) + PHOTO


def crawl_one(make_bucket: MakeBucket, url: str, settings: CrawlSettings) -> tuple[dict[str, Any], BucketResult]:
    [result] = crawl_buckets([make_bucket([url])], settings)
    assert result.error is None
    assert result.manifest is not None
    [row] = result.manifest.to_pylist()
    return row, result


ANSWERS = {
    "whole": (200, PHOTO, {}, "ok", 1),
    "wrong_type": (200, PHOTO, {"Content_Type": "text/html"}, "ok", 1),
    "compressed": (200, gzip.compress(PHOTO), {"Content_Encoding": "gzip"}, "ok", 1),
    "deflated": (200, zlib.compress(PHOTO), {"Content_Encoding": "deflate"}, "ok", 1),
    "compressed_twice": (
        200,
        gzip.compress(gzip.compress(PHOTO)),
        {"Content_Encoding": "gzip, gzip"},
        "not_an_image",
        1,
    ),
    "in_no_known_encoding": (200, PHOTO, {"Content_Encoding": "lzma"}, "ok", 1),
    "without_type": (200, PHOTO, {"Content_Type": ""}, "ok", 1),
    "not_found": (404, b"no", {}, "not_found", 1),
    "gone": (410, b"", {}, "gone", 1),
    "unauthorized": (401, b"", {}, "forbidden", 1),
    "forbidden": (403, b"", {}, "forbidden", 1),
    "teapot": (418, PHOTO, {}, "forbidden", 1),
    "throttled": (429, b"", {}, "throttled", 2),
    "throttled_without_a_wait": (429, b"", {"Retry_After": "0"}, "throttled", 2),
    "throttled_with_nonsense": (429, b"", {"Retry_After": "soon"}, "throttled", 2),
    "throttled_until_a_date": (429, b"", {"Retry_After": "Fri, 31 Dec 2100 23:59:59 GMT"}, "deferred", 1),
    "throttled_until_yesterday": (429, b"", {"Retry_After": "Fri, 31 Dec 1999 23:59:59 GMT"}, "throttled", 2),
    "throttled_for_ages": (429, b"", {"Retry_After": "9" * 400}, "deferred", 1),
    "throttled_briefly": (429, b"", {"Retry_After": "1"}, "throttled", 2),
    "throttled_for_a_day": (429, b"", {"Retry_After": "86400"}, "deferred", 1),
    "down_for_a_day": (503, b"", {"Retry_After": "86400"}, "deferred", 1),
    "server_error": (500, b"", {}, "server_error", 2),
    "bad_gateway": (502, PHOTO, {}, "server_error", 2),
    "no_such_class": (600, b"", {}, "protocol_error", 2),
    "no_content": (204, b"", {}, "empty", 1),
    "empty": (200, b"", {}, "empty", 1),
    "part_of_it": (206, PHOTO, {}, "protocol_error", 2),
    "html": (200, b"<!doctype html><p>sorry", {"Content_Type": "image/jpeg"}, "not_an_image", 1),
    "long_html": (200, b"<!doctype html><p>sorry" * 5_000, {"Content_Type": "image/jpeg"}, "not_an_image", 1),
    "half_a_picture": (200, PHOTO[: len(PHOTO) // 2], {}, "corrupt", 1),
    "noise_in_a_picture": (200, PHOTO[:-300] + NOISE + PHOTO[-100:], {}, "corrupt", 1),
    "junk_after_a_picture": (200, PHOTO + NOISE, {}, "ok", 1),
    "one_pixel": (200, picture(size=(1, 1)), {}, "too_small", 1),
    "many_pixels": (200, picture(size=(2000, 1001)), {}, "bomb", 1),
    "a_strip": (200, picture(size=(5000, 10)), {}, "too_small", 1),
    "many_pixels_in_png": (200, picture(size=(2000, 1001), picture_format="PNG"), {}, "bomb", 1),
    "many_bytes": (200, bytes(300_000), {}, "too_large", 1),
    "gzip_bomb": (200, gzip.compress(bytes(50_000_000)), {"Content_Encoding": "gzip"}, "bomb", 1),
    "deflate_bomb": (200, zlib.compress(bytes(50_000_000)), {"Content_Encoding": "deflate"}, "bomb", 1),
    "placeholder": (200, picture(77), {}, "placeholder", 1),
    "no_ai": (200, PHOTO, {"X_Robots_Tag": "noai, noimageai"}, "opted_out", 1),
    "no_ai_for_others": (200, PHOTO, {"X_Robots_Tag": "otherbot: noai"}, "ok", 1),
    "no_ai_for_us": (200, PHOTO, {"X_Robots_Tag": "otherbot: noai, geo_pipeline: noimageai"}, "opted_out", 1),
    "no_index": (200, PHOTO, {"X_Robots_Tag": "noindex"}, "opted_out", 1),
    "no_image_index": (200, PHOTO, {"X_Robots_Tag": "all, noimageindex"}, "opted_out", 1),
    "rights_not_reserved": (200, PHOTO, {"tdm_reservation": "0"}, "ok", 1),
    "rights_reserved": (200, PHOTO, {"tdm_reservation": "1"}, "opted_out", 1),
    "redirect_to_itself": (302, b"", {"Location": "/fault"}, "redirect_error", 1),
    "redirect_nowhere": (302, b"", {}, "redirect_error", 1),
    "redirect_to_a_file": (301, b"", {"Location": "file:///etc/passwd"}, "redirect_error", 1),
    "redirect_to_ftp": (303, b"", {"Location": "ftp://127.0.0.1/1.jpg"}, "redirect_error", 1),
    "redirect_to_data": (307, b"", {"Location": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}, "redirect_error", 1),
    "redirect_to_no_port": (302, b"", {"Location": "http://127.0.0.1:99999/"}, "redirect_error", 1),
    "redirect_that_is_none": (304, b"", {}, "redirect_error", 1),
    "redirect_to_a_placeholder": (302, b"", {"Location": "/images/photo_unavailable.gif"}, "placeholder", 1),
    "redirect_to_another_port": (307, b"", {"Location": "http://127.0.0.1:9/"}, "blocked_address", 2),
    "redirect_to_a_name_for_us": (308, b"", {"Location": "//localhost:9/"}, "blocked_address", 2),
    "redirect_that_works": (301, b"", {"Location": "photos/5.jpg"}, "ok", 2),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_has_its_outcome(name: str, server: PhotoServer, make_bucket: MakeBucket, quick: Quick) -> None:
    status, body, headers, expected, num_requests = ANSWERS[name]
    known = hashlib.sha256(picture(77)).hexdigest()
    settings = quick(server.origin, max_bytes=200_000, max_pixels=2_000_000, placeholder_sha256=(known,))
    row, result = crawl_one(make_bucket, server.answer("/fault", status, body, **headers), settings)
    assert row["status"] == expected, row
    assert result.requests == num_requests
    assert (row["shard"] is not None) == (expected == "ok")
    assert (row["next_attempt_at"] is not None) == (
        expected in {"throttled", "deferred", "server_error", "protocol_error"}
    )


SCRIPTS: dict[str, tuple[list[object], str]] = {
    "http_1.0": ([b"HTTP/1.0 200 OK\r\n\r\n", PHOTO], "ok"),
    "http_0.9": ([PHOTO], "protocol_error"),
    "http_2": ([b"HTTP/2 200\r\n\r\n", PHOTO], "protocol_error"),
    "chunked": ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(PHOTO), PHOTO)], "ok"),
    "byte_by_byte": ([bytes([byte]) for byte in HEAD + WHOLE], "ok"),
    "early_hints": ([b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + HEAD + WHOLE], "ok"),
    "more_than_announced": ([HEAD + WHOLE + NOISE], "protocol_error"),
    "more_after_a_while": ([HEAD + WHOLE, 0.05, NOISE], "ok"),
    "cut_body": ([HEAD + b"Content-Length: 9999\r\n\r\n", PHOTO], "truncated"),
    "reset_body": ([HEAD + b"Content-Length: 9999\r\n\r\n" + PHOTO, 0.05, RESET], "truncated"),
    "cut_chunk": ([HEAD + b"Transfer-Encoding: chunked\r\n\r\nfff\r\nabc"], "truncated"),
    "bad_chunk": ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"], "protocol_error"),
    "bad_chunk_later": ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0.05, b"zz\r\n"], "protocol_error"),
    "bad_gzip": ([HEAD + b"Content-Encoding: gzip\r\n" + WHOLE], "protocol_error"),
    "two_lengths": ([HEAD + b"Content-Length: 1\r\n" + WHOLE], "protocol_error"),
    "hangs_up": ([], "connection"),
    "reset": ([RESET], "connection"),
    "hangs_up_in_headers": ([HEAD], "connection"),
    "reset_headers": ([HEAD, 0.05, RESET], "connection"),
    "not_http": ([b"SSH-2.0-OpenSSH_9.2\r\n"], "protocol_error"),
    "huge_header": ([HEAD + b"X-A: " + b"a" * 200_000 + b"\r\n" + WHOLE], "protocol_error"),
    "many_headers": ([HEAD + b"X-A: %s\r\n" % (b"a" * 200) * 1000 + WHOLE], "protocol_error"),
    "endless_header": ([HEAD + b"X-A: ", *[b"a" * 100_000] * 100], "protocol_error"),
    "headers_that_are_no_text": ([b"HTTP/1.1 200 \xe9\r\nETag: \xff\xfe\r\nX-Robots-Tag: \xff\r\n" + WHOLE], "ok"),
    "reason_that_is_no_text": ([b"HTTP/1.1 404 \xff\xfe\r\nContent-Length: 0\r\n\r\n"], "not_found"),
    "bad_length": ([HEAD + b"Content-Length: many\r\n\r\n"], "protocol_error"),
    "silence": ([5.0], "timeout"),
    "silence_in_headers": ([HEAD, 5.0], "timeout"),
    "silence_after_headers": ([HEAD + b"Content-Length: 5000\r\n\r\n", 5.0], "timeout"),
    "silence_in_body": ([HEAD + b"Content-Length: 9999\r\n\r\n" + PHOTO, 5.0], "timeout"),
    "slow_headers": ([step for byte in HEAD for step in (bytes([byte]), 0.1)], "too_slow"),
    "slow_body": (
        [HEAD + WHOLE[:100], *(step for byte in PHOTO[:100] for step in (bytes([byte]), 0.1))],
        "too_slow",
    ),
    "slow_but_not_too_slow": ([HEAD + b"Content-Length: 99999\r\n\r\n", *[bytes(500), 0.02] * 99], "timeout"),
    "huge_body_announced": ([HEAD + b"Content-Length: 10000000000000\r\n\r\n", PHOTO, 5.0], "too_large"),
    "endless_body": ([b"HTTP/1.0 200 OK\r\n\r\n", *[bytes(100_000)] * 100], "too_large"),
    "endless_chunks": (
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"186a0\r\n%s\r\n" % bytes(100_000)] * 100],
        "too_large",
    ),
    "endless_refusal": ([b"HTTP/1.0 404 Not Found\r\n\r\n", *[bytes(100_000)] * 100], "not_found"),
}
FINAL = {"ok", "too_large", "not_found"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_misbehaving_connection_has_its_outcome(
    name: str,
    raw_server: Callable[..., RawServer],
    make_bucket: MakeBucket,
    quick: Quick,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script, expected = SCRIPTS[name]
    server = raw_server(*script)
    monkeypatch.setattr(connections, "SLOW_AFTER_SECONDS", 0.15)
    settings = quick(f"127.0.0.1:{server.port}", max_bytes=200_000, timeout_seconds=0.4, retries=1)
    row, result = crawl_one(make_bucket, server.url("/photo.jpg"), settings)
    assert row["status"] == expected, row
    assert result.requests == row["attempts"] == server.num_connections == (1 if expected in FINAL else 2)


def test_a_refused_connection_and_an_unknown_name(make_bucket: MakeBucket, quick: Quick) -> None:
    port = closed_port()
    row, _ = crawl_one(make_bucket, f"http://127.0.0.1:{port}/", quick(f"127.0.0.1:{port}"))
    assert row["status"] == "connection"
    other = make_bucket(["http://no-such-name.invalid/1.jpg"], key="unknown")
    [result] = crawl_buckets([other], quick())
    assert result.manifest is not None
    assert result.manifest["status"].to_pylist() == ["connection"]


SPECIAL_HOSTS = [
    "127.0.0.1",
    "127.255.0.1",
    "localhost",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[fe80::1]",
    "[fd00::1]",
    "[ff02::1]",
    "0.0.0.0",  # noqa: S104 an address to refuse
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "0",
    "good.example@127.0.0.1",
]


@pytest.mark.parametrize("host", SPECIAL_HOSTS)
@pytest.mark.parametrize("by_redirect", [False, True])
def test_no_connection_is_made_to_an_address_that_is_not_allowed(
    host: str,
    by_redirect: bool,
    server: PhotoServer,
    raw_server: Callable[..., RawServer],
    make_bucket: MakeBucket,
    quick: Quick,
) -> None:
    canary = raw_server(HEAD + WHOLE)
    target = f"http://{host}:{canary.port}/1.jpg"
    listed = server.answer("/away", 302, Location=target) if by_redirect else target
    row, _ = crawl_one(make_bucket, listed, quick(server.origin))
    assert (row["status"], row["attempts"]) == ("blocked_address", 1)
    assert canary.num_connections == 0


INVALID_URLS = [
    "ftp://127.0.0.1/1.jpg",
    "file:///etc/passwd",
    "data:image/gif;base64,R0lGODlhAQABAAAAACw=",
    "photo.jpg",
    "//host/x",
    "",
    "  ",
    "http://",
    "http:///x",
    "http://host:0/x",
    "http://host:99999/x",
    "http://host:x/",
    "http://two words/x",
    "http://a..b/x",
    "http://%31/x",
    "http://nul\0/x",
    "http://[::1/x",
    "http://[not-an-address]/x",
    "http://user@/x",
    f"http://{'a' * 64}.example/x",
]


@pytest.mark.parametrize("url", INVALID_URLS)
def test_an_invalid_url_makes_no_request(url: str, make_bucket: MakeBucket, quick: Quick) -> None:
    row, result = crawl_one(make_bucket, url, quick())
    assert (row["status"], result.requests, row["attempts"]) == ("invalid_url", 0, 0)


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("/a b/ü.jpg?q=ä ö", b"/a%20b/%C3%BC.jpg?q=%C3%A4%20%C3%B6"),
        ("/a%2fb%41%7e.jpg?x=%2B+%41&y", b"/a%2fb%41%7e.jpg?x=%2B+%41&y"),
        ("/100%.jpg", b"/100%.jpg"),
        ("/a/../b.jpg#part", b"/b.jpg"),
        ("", b"/"),
        ("?x", b"/?x"),
    ],
)
@pytest.mark.parametrize("by_redirect", [False, True])
def test_a_path_is_asked_for_as_it_is_written(
    written: str,
    asked: bytes,
    by_redirect: bool,
    server: PhotoServer,
    raw_server: Callable[..., RawServer],
    make_bucket: MakeBucket,
    quick: Quick,
) -> None:
    photos = raw_server(HEAD + WHOLE)
    target = f"  http://127.0.0.1:{photos.port}{written} "
    listed = server.answer("/away", 302, Location=target) if by_redirect else target
    row, _ = crawl_one(make_bucket, listed, quick(server.origin, f"127.0.0.1:{photos.port}"))
    assert row["status"] == "ok"
    assert photos.requests == [b"GET %s HTTP/1.1" % asked]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("num_hops", "expected"), [(1, "ok"), (3, "ok"), (4, "redirect_error"), (None, "redirect_error")]
)
def test_redirects_are_followed_to_their_limit(
    code: int, num_hops: int | None, expected: str, server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    for hop in range(5):
        server.answer(f"/{hop}/x", code, Location="../photos/5.jpg" if hop + 1 == num_hops else f"../{hop + 1}/x")
    server.answer("/5/x", code, Location="/3/x")
    settings = quick(server.origin, max_redirects=3 if num_hops else 9)
    row, _ = crawl_one(make_bucket, server.url("/0/x"), settings)
    assert (row["status"], row["attempts"]) == (expected, 1)
    assert len(server.asked) == len(set(server.paths()))
    assert row["url"] == server.url("/0/x")


@pytest.mark.parametrize("code", [429, 500, 502, 503])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_failure_is_overcome_unless_it_outlasts_the_retries(
    code: int, times: int, server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    async def broken_at_first(_: web.Request) -> web.Response:
        return web.Response(status=code) if len(server.asked) <= times else web.Response(body=PHOTO)

    server.answers["/flaky"] = broken_at_first
    row, _ = crawl_one(make_bucket, server.url("/flaky"), quick(server.origin, retries=2))
    expected = "ok" if times < 3 else "throttled" if code == 429 else "server_error"
    assert (row["status"], row["attempts"]) == (expected, min(times + 1, 3))
    assert len(server.asked) == row["attempts"]


def test_equal_bytes_under_two_ids_are_two_photos(server: PhotoServer, make_bucket: MakeBucket, quick: Quick) -> None:
    listed = [server.answer(f"/{name}", body=PHOTO) for name in "ab"]
    [result] = crawl_buckets([make_bucket(listed)], quick(server.origin))
    assert result.manifest is not None
    first, second = result.manifest.to_pylist()
    assert first["status"] == second["status"] == "ok"
    assert first["source_sha256"] == second["source_sha256"]
    assert first["offset"] != second["offset"]
