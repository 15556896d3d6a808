"""Every fault that a server can commit and the outcome it must have: a whole crawl for each, over real sockets."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from geo_pipeline.crawl import fetching
from geo_pipeline.crawl.bucket import Bucket, BucketResult, crawl_buckets
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline_tests.crawl.servers import RESET, PhotoServer, RawServer, closed_port, picture

Quick = Callable[..., CrawlSettings]
MakeBucket = Callable[..., Bucket]

PHOTO = picture(1)
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
    "not_found": (404, b"no", {}, "not_found", 1),
    "gone": (410, b"", {}, "gone", 1),
    "unauthorized": (401, b"", {}, "forbidden", 1),
    "forbidden": (403, b"", {}, "forbidden", 1),
    "teapot": (418, PHOTO, {}, "forbidden", 1),
    "throttled": (429, b"", {}, "throttled", 2),
    "throttled_briefly": (429, b"", {"Retry_After": "1"}, "throttled", 2),
    "throttled_for_a_day": (429, b"", {"Retry_After": "86400"}, "deferred", 1),
    "down_for_a_day": (503, b"", {"Retry_After": "86400"}, "deferred", 1),
    "server_error": (500, b"", {}, "server_error", 2),
    "bad_gateway": (502, PHOTO, {}, "server_error", 2),
    "no_content": (204, b"", {}, "empty", 1),
    "empty": (200, b"", {}, "empty", 1),
    "part_of_it": (206, PHOTO, {}, "protocol_error", 2),
    "html": (200, b"<!doctype html><p>sorry", {"Content_Type": "image/jpeg"}, "not_an_image", 1),
    "half_a_picture": (200, PHOTO[: len(PHOTO) // 2], {}, "corrupt", 1),
    "one_pixel": (200, picture(size=(1, 1)), {}, "too_small", 1),
    "many_pixels": (200, picture(size=(2000, 1001)), {}, "bomb", 1),
    "many_bytes": (200, bytes(300_000), {}, "too_large", 1),
    "gzip_bomb": (200, gzip.compress(bytes(50_000_000)), {"Content_Encoding": "gzip"}, "bomb", 1),
    "placeholder": (200, picture(77), {}, "placeholder", 1),
    "no_ai": (200, PHOTO, {"X_Robots_Tag": "noai, noimageai"}, "opted_out", 1),
    "no_ai_for_others": (200, PHOTO, {"X_Robots_Tag": "otherbot: noai"}, "ok", 1),
    "rights_reserved": (200, PHOTO, {"tdm_reservation": "1"}, "opted_out", 1),
    "redirect_to_itself": (302, b"", {"Location": "/fault"}, "redirect_error", 1),
    "redirect_nowhere": (302, b"", {}, "redirect_error", 1),
    "redirect_to_a_file": (301, b"", {"Location": "file:///etc/passwd"}, "redirect_error", 1),
    "redirect_to_a_placeholder": (302, b"", {"Location": "/images/photo_unavailable.gif"}, "placeholder", 1),
    "redirect_to_metadata_service": (302, b"", {"Location": "http://169.254.169.254/latest/"}, "blocked_address", 2),
    "redirect_to_another_port": (307, b"", {"Location": "http://127.0.0.1:9/"}, "blocked_address", 2),
    "redirect_to_localhost": (308, b"", {"Location": "http://localhost:9/"}, "blocked_address", 2),
    "redirect_to_mapped_address": (303, b"", {"Location": "http://[::ffff:127.0.0.1]/"}, "blocked_address", 2),
    "redirect_to_a_number": (302, b"", {"Location": "http://2130706433/"}, "invalid_url", 2),
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
    "chunked": ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(PHOTO), PHOTO)], "ok"),
    "cut_body": ([HEAD + b"Content-Length: 9999\r\n\r\n", PHOTO], "truncated"),
    "reset_body": ([HEAD + b"Content-Length: 9999\r\n\r\n" + PHOTO, 0.05, RESET], "truncated"),
    "cut_chunk": ([HEAD + b"Transfer-Encoding: chunked\r\n\r\nfff\r\nabc"], "truncated"),
    "bad_chunk": ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"], "protocol_error"),
    "bad_gzip": ([HEAD + b"Content-Encoding: gzip\r\n" + WHOLE], "protocol_error"),
    "hangs_up": ([], "connection"),
    "reset": ([RESET], "connection"),
    "not_http": ([b"SSH-2.0-OpenSSH_9.2\r\n"], "protocol_error"),
    "huge_header": ([HEAD + b"X-A: " + b"a" * 200_000 + b"\r\n" + WHOLE], "protocol_error"),
    "many_headers": ([HEAD + b"X-A: %s\r\n" % (b"a" * 200) * 1000 + WHOLE], "protocol_error"),
    "bad_length": ([HEAD + b"Content-Length: many\r\n\r\n"], "protocol_error"),
    "silence": ([5.0], "timeout"),
    "silence_after_headers": ([HEAD + b"Content-Length: 5000\r\n\r\n", 5.0], "timeout"),
    "slow_headers": ([step for byte in HEAD for step in (bytes([byte]), 0.1)], "timeout"),
    "slow_body": (
        [HEAD + WHOLE[:100], *(step for byte in PHOTO[:100] for step in (bytes([byte]), 0.1))],
        "too_slow",
    ),
    "endless_body": ([b"HTTP/1.0 200 OK\r\n\r\n", *[bytes(100_000)] * 100], "too_large"),
}


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
    monkeypatch.setattr(fetching, "SLOW_AFTER_SECONDS", 0.15)
    settings = quick(f"127.0.0.1:{server.port}", max_bytes=200_000, timeout_seconds=0.4, retries=1)
    row, result = crawl_one(make_bucket, server.url("/photo.jpg"), settings)
    assert row["status"] == expected, row
    assert result.requests == row["attempts"] == (1 if expected in {"ok", "too_large"} else 2)


def test_a_refused_connection_and_an_unknown_name(make_bucket: MakeBucket, quick: Quick) -> None:
    port = closed_port()
    row, _ = crawl_one(make_bucket, f"http://127.0.0.1:{port}/", quick(f"127.0.0.1:{port}"))
    assert row["status"] == "connection"
    other = make_bucket(["http://no-such-name.invalid/1.jpg"], key="unknown")
    [result] = crawl_buckets([other], quick())
    assert result.manifest is not None
    assert result.manifest["status"].to_pylist() == ["connection"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "0.0.0.0"])  # noqa: S104
def test_no_connection_is_made_to_an_address_that_is_not_allowed(
    host: str, server: PhotoServer, make_bucket: MakeBucket, quick: Quick
) -> None:
    row, _ = crawl_one(make_bucket, f"http://{host}:{server.port}/photos/1.jpg", quick("127.0.0.1:1"))
    assert row["status"] == "blocked_address"
    assert server.asked == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/1.jpg", "photo.jpg", "", "http://"])
def test_an_invalid_url_makes_no_request(url: str, make_bucket: MakeBucket, quick: Quick) -> None:
    row, result = crawl_one(make_bucket, url, quick())
    assert (row["status"], result.requests, row["attempts"]) == ("invalid_url", 0, 0)


def test_a_failure_that_passes_is_overcome(server: PhotoServer, make_bucket: MakeBucket, quick: Quick) -> None:
    async def twice_broken(_: web.Request) -> web.Response:
        return web.Response(status=503) if len(server.asked) < 3 else web.Response(body=PHOTO)

    server.answers["/flaky"] = twice_broken
    row, _ = crawl_one(make_bucket, server.url("/flaky"), quick(server.origin, retries=2))
    assert (row["status"], row["attempts"], row["http_status"]) == ("ok", 3, 200)
