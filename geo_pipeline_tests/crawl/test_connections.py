"""What happens between two requests on one connection, before one, and beneath it: keep-alive, names, TLS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import connector
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from yarl import URL

from geo_pipeline.crawl import address_guard
from geo_pipeline.crawl.bucket import Bucket, crawl_buckets
from geo_pipeline.crawl.budget import ByteBudget
from geo_pipeline.crawl.clock import utc_now
from geo_pipeline.crawl.fetching import Fetcher
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline_tests.crawl.servers import NEXT_REQUEST, RESET, PhotoServer, RawServer, picture

Quick = Callable[..., CrawlSettings]
MakeBucket = Callable[..., Bucket]
StartRaw = Callable[..., RawServer]

PHOTO = picture(1)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(PHOTO), PHOTO)


def crawl(bucket: Bucket, settings: CrawlSettings) -> list[dict[str, Any]]:
    [result] = crawl_buckets([bucket], settings)
    assert result.manifest is not None
    rows: list[dict[str, Any]] = result.manifest.to_pylist()
    return rows


@pytest.mark.parametrize("end", [[NEXT_REQUEST], [NEXT_REQUEST, RESET], [0.02, RESET]])
@pytest.mark.parametrize("per_host", [1, 4])
def test_a_kept_connection_that_the_server_drops_costs_no_photo_and_no_try(
    end: list[object], per_host: int, raw_server: StartRaw, make_bucket: MakeBucket, quick: Quick
) -> None:
    server = raw_server(ANSWER, *end)
    bucket = make_bucket([server.url(f"/{number}.jpg") for number in range(20)])
    rows = crawl(bucket, quick(f"127.0.0.1:{server.port}", retries=0, per_host=per_host))
    assert [(row["status"], row["attempts"], row["http_status"]) for row in rows] == [("ok", 1, 200)] * 20


@pytest.mark.parametrize(
    "said_while_idle",
    [
        [],
        [RESET],
        [b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", NEXT_REQUEST],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", NEXT_REQUEST],
        [b"noise", NEXT_REQUEST],
    ],
)
def test_what_a_server_says_while_nothing_is_asked_answers_no_later_request(
    said_while_idle: list[object], raw_server: StartRaw, quick: Quick
) -> None:
    server = raw_server(ANSWER, 0.05, *said_while_idle)

    async def two_with_a_pause() -> list[bytes]:
        async with Fetcher(quick(f"127.0.0.1:{server.port}"), utc_now) as fetcher:
            with ByteBudget(10_000_000).lease() as lease:
                first = await fetcher.request(URL(server.url()), lease)
                await asyncio.sleep(0.15)
                return [first.body, (await fetcher.request(URL(server.url()), lease)).body]

    assert asyncio.run(two_with_a_pause()) == [PHOTO, PHOTO]
    assert server.num_connections == 2


def test_a_connection_is_kept_and_used_again(raw_server: StartRaw, make_bucket: MakeBucket, quick: Quick) -> None:
    server = raw_server(ANSWER, *[NEXT_REQUEST, ANSWER] * 9)
    bucket = make_bucket([server.url(f"/{number}.jpg") for number in range(10)])
    rows = crawl(bucket, quick(f"127.0.0.1:{server.port}", per_host=1))
    assert {row["status"] for row in rows} == {"ok"}
    assert server.num_connections == 1


@pytest.mark.parametrize("script", [[], [RESET], [b"HTTP/1.1 200 OK\r\n"], [b"HTTP/1.1 200 OK\r\n", 0.02, RESET]])
def test_a_fresh_connection_that_breaks_is_a_failure_and_asked_for_as_often_as_counted(
    script: list[object], raw_server: StartRaw, make_bucket: MakeBucket, quick: Quick
) -> None:
    server = raw_server(*script)
    [row] = crawl(make_bucket([server.url()]), quick(f"127.0.0.1:{server.port}", retries=2))
    assert (row["status"], row["attempts"]) == ("connection", 3)
    assert len(server.requests) == 3


class Names:
    """Stands for the resolver of the operating system: each question for a name gets its next answer."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers = {f"{name}.example": rounds for name, rounds in answers.items()}

    def __call__(self, host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        rounds = self._answers[host]
        addresses = rounds.pop(0) if len(rounds) > 1 else rounds[0]
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 0))
            for family, address in zip(families, addresses, strict=True)
        ]


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses to which a connection was to be made; those on loopback are made, the others refused."""
    made: list[str] = []
    start = connector.aiohappyeyeballs.start_connection

    async def connect(addr_infos: list[Any], **options: Any) -> Any:
        made.extend(info[4][0] for info in addr_infos)
        if any(info[4][0] not in {"127.0.0.1", "::1"} for info in addr_infos):
            raise ConnectionRefusedError
        return await start(addr_infos=addr_infos, **options)

    monkeypatch.setattr(connector.aiohappyeyeballs, "start_connection", connect)
    return made


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
    ],
)
@pytest.mark.parametrize("by_redirect", [False, True])
def test_a_name_that_leads_to_a_special_address_is_blocked(
    address: str,
    by_redirect: bool,
    connected: list[str],
    server: PhotoServer,
    make_bucket: MakeBucket,
    quick: Quick,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(address_guard.socket, "getaddrinfo", Names(inside=[[address]]))
    target = f"http://inside.example:{server.port}/photos/1.jpg"
    listed = server.answer("/away", 302, Location=target) if by_redirect else target
    [row] = crawl(make_bucket([listed]), quick(server.origin))
    assert (row["status"], row["attempts"]) == ("blocked_address", 1)
    assert connected == ["127.0.0.1"] * by_redirect
    assert server.paths() == ["/away"] * by_redirect


def test_of_a_name_with_several_addresses_only_the_public_ones_are_connected_to(
    connected: list[str], server: PhotoServer, make_bucket: MakeBucket, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = ["127.0.0.1", "8.8.8.8", "::1", "2606:4700::1111"]
    monkeypatch.setattr(address_guard.socket, "getaddrinfo", Names(mixed=[both]))
    [row] = crawl(make_bucket([f"http://mixed.example:{server.port}/photos/1.jpg"]), quick(retries=0))
    assert row["status"] == "connection"
    assert sorted(set(connected)) == ["2606:4700::1111", "8.8.8.8"]


def test_a_name_that_changes_after_it_was_judged_leads_nowhere_else(
    connected: list[str], server: PhotoServer, make_bucket: MakeBucket, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebinding = Names(rebound=[["8.8.8.8"], ["127.0.0.1"]])
    monkeypatch.setattr(address_guard.socket, "getaddrinfo", rebinding)
    urls = [f"http://rebound.example:{server.port}/photos/{number}.jpg" for number in range(5)]
    rows = crawl(make_bucket(urls), quick(retries=1, per_host=1))
    assert {row["status"] for row in rows} <= {"connection", "blocked_address", "deferred"}
    assert set(connected) == {"8.8.8.8"}
    assert server.asked == []


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A server's context with a certificate that nobody has vouched for."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(loopback, critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = tmp_path / "certificate.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_a_certificate_that_nobody_vouches_for_is_a_failed_connection(
    self_signed: ssl.SSLContext, raw_server: StartRaw, make_bucket: MakeBucket, quick: Quick
) -> None:
    server = raw_server(ANSWER, tls=self_signed)
    [row] = crawl(make_bucket([f"https://127.0.0.1:{server.port}/"]), quick(f"127.0.0.1:{server.port}", retries=0))
    assert (row["status"], server.requests) == ("connection", [])
    assert "certificate" in row["error"].lower()


def test_https_where_plain_http_is_spoken_is_a_failed_connection_and_http_where_https_is_none_of_http(
    self_signed: ssl.SSLContext, server: PhotoServer, raw_server: StartRaw, make_bucket: MakeBucket, quick: Quick
) -> None:
    secure = raw_server(ANSWER, tls=self_signed)
    urls = [f"https://{server.origin}/photos/1.jpg", secure.url()]
    rows = crawl(make_bucket(urls), quick(server.origin, f"127.0.0.1:{secure.port}", retries=0))
    assert [row["status"] for row in rows] == ["connection", "connection"]


def test_a_handshake_that_never_ends_ends_at_the_deadline(
    raw_server: StartRaw, make_bucket: MakeBucket, quick: Quick
) -> None:
    silent = raw_server(5.0)
    settings = quick(f"127.0.0.1:{silent.port}", retries=0, timeout_seconds=0.3)
    [row] = crawl(make_bucket([f"https://127.0.0.1:{silent.port}/"]), settings)
    assert row["status"] == "timeout"
