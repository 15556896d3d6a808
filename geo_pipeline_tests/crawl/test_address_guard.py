"""Which addresses are public, by the registries, and what the resolver lets through."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter

import aiohttp
import pytest
from yarl import URL

from geo_pipeline.crawl import address_guard
from geo_pipeline.crawl.address_guard import (
    LOOKUPS_AT_ONCE,
    Addresses,
    BlockedAddressError,
    GuardedResolver,
    check_literal_host,
    is_public,
)
from geo_pipeline_tests.crawl.servers import PhotoServer

NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 an address to judge
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "2001:0:53aa:64c:0:fefe:3f57:fdf5",  # Teredo for 192.168.2.10
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_ordinary_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_an_address_in_a_url_is_judged_by_host_and_port() -> None:
    check_literal_host(URL("http://127.0.0.1:81/"), ("127.0.0.1:81",))
    check_literal_host(URL("http://[::1]:81/"), ("[::1]:81",))
    check_literal_host(URL("http://localhost/"), ())  # a name is the resolver's business
    with pytest.raises(BlockedAddressError):
        check_literal_host(URL("http://127.0.0.1:82/"), ("127.0.0.1:81",))


def test_a_name_that_resolves_to_loopback_is_blocked_unless_allowed() -> None:
    async def resolve(*allowed: str) -> list[str]:
        return [found["host"] for found in await GuardedResolver(allowed).resolve("localhost", 81)]

    assert asyncio.run(resolve("localhost:81"))
    with pytest.raises(BlockedAddressError, match="localhost resolves to"):
        asyncio.run(resolve("localhost:82"))


class NameServer:
    """Answers every name after a while, with the same address or the same error."""

    def __init__(self, seconds: float = 0.0, address: str = "8.8.8.8", error: OSError | None = None) -> None:
        self.seconds, self.address, self.error = seconds, address, error
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, _: socket.AddressFamily) -> Addresses:
        with self._lock:
            self.asked[host] += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.seconds)
        with self._lock:
            self.at_once -= 1
        if self.error:
            raise self.error
        return [(socket.AF_INET, self.address)]


def test_only_so_many_names_are_looked_up_at_once() -> None:
    server = NameServer(seconds=0.3)  # so many that none is done before the last has begun

    async def resolve_all() -> None:
        resolver = GuardedResolver((), look_up=server)
        found = await asyncio.gather(*(resolver.resolve(f"h{number}.example", 80) for number in range(60)))
        assert {(results[0]["host"], results[0]["port"]) for results in found} == {("8.8.8.8", 80)}

    asyncio.run(resolve_all())
    assert server.most_at_once == LOOKUPS_AT_ONCE
    assert set(server.asked.values()) == {1}


def test_simultaneous_requests_for_one_host_share_one_lookup(server: PhotoServer) -> None:
    names = NameServer(seconds=0.05, address="127.0.0.1")

    async def ask() -> None:
        resolver = GuardedResolver((f"photos.example:{server.port}",), look_up=names)
        connector = aiohttp.TCPConnector(resolver=resolver, limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            url = f"http://photos.example:{server.port}/photos/1.jpg"
            replies = await asyncio.gather(*(session.get(url) for _ in range(20)))
            assert {reply.status for reply in replies} == {200}
            for reply in replies:
                reply.close()

    asyncio.run(ask())
    assert names.asked == {"photos.example": 1}


def test_a_failing_name_is_looked_up_again_only_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    server = NameServer(error=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    async def fail() -> None:
        resolver = GuardedResolver((), look_up=server)
        for _ in range(10):
            with pytest.raises(OSError, match="Name or service not known"):
                await resolver.resolve("gone.example", 80)
        assert server.asked["gone.example"] == 1
        monkeypatch.setattr(address_guard, "FAILED_SECONDS", 0.0)
        server.error = None
        assert await resolver.resolve("gone.example", 80)

    asyncio.run(fail())


def test_the_memory_of_failing_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_guard, "_MAX_FAILED", 5)
    server = NameServer(error=socket.gaierror("no"))

    async def fail() -> None:
        resolver = GuardedResolver((), look_up=server)
        for number in [*range(20), 19, 0]:
            with pytest.raises(OSError, match="no"):
                await resolver.resolve(f"h{number}.example", 80)
        assert len(resolver._failed) <= 5

    asyncio.run(fail())
    assert (server.asked["h19.example"], server.asked["h0.example"]) == (1, 2)


def test_a_name_server_that_is_silent_fails_in_time_and_is_not_asked_ever_more() -> None:
    server = NameServer(seconds=0.5)

    async def fail() -> float:
        resolver = GuardedResolver((), timeout_seconds=0.1, look_up=server)
        started = time.monotonic()
        waiting = (resolver.resolve(f"h{number}.example", 80) for number in range(40))
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, OSError) and "no answer in 0.1" in str(result) for result in results)
        return time.monotonic() - started

    assert asyncio.run(fail()) < 0.4
    assert len(server.asked) == LOOKUPS_AT_ONCE


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "..", "x..y"])
def test_what_is_no_name_cannot_be_resolved(host: str) -> None:
    async def resolve() -> None:
        await GuardedResolver(()).resolve(host, 80)

    with pytest.raises(OSError):  # noqa: PT011 what the system says of it differs
        asyncio.run(resolve())
