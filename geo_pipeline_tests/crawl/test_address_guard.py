"""Which addresses are public, by the registries, and what the resolver lets through."""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from geo_pipeline.crawl.address_guard import BlockedAddressError, GuardedResolver, check_literal_host, is_public

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
