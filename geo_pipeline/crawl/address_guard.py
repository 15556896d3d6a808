"""Which addresses a crawl may connect to: public ones, and the exceptions named in the settings.

Here live the judgement of an address and the resolver that applies it. The one idea: the address judged is the
address connected to. Names are judged after they are resolved, by the resolver that the connections use; a host
written as an address is judged before each request (a connector does not resolve it).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


class BlockedAddressError(Exception):
    """The host has no address that may be connected to."""


def is_public(address: str) -> bool:
    """Whether an IPv4 or IPv6 address belongs to the public internet.

    Loopback, private, link-local, shared, multicast, reserved, documentation and unspecified addresses do not (the
    IANA special-purpose registries, RFC 6890), nor do IPv6 addresses that carry such an IPv4 address inside
    (mapped, 6to4, Teredo, NAT64).
    """
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv4Address):
        return _is_public_v4(parsed)
    embedded = _embedded_v4(parsed)
    if embedded is not None:
        return _is_public_v4(embedded)
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved or parsed.is_site_local)


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _embedded_v4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this IPv6 address finally reach, if there is one."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def check_literal_host(url: URL, allow_origins: Collection[str]) -> None:
    """Raise BlockedAddressError if the URL's host is an address that is neither public nor an allowed origin."""
    host = url.raw_host or ""
    try:
        public = is_public(_plain_address(host))
    except ValueError:
        return  # a name: the resolver judges it
    if not public and _origin(host, url.port or 0) not in allow_origins:
        raise BlockedAddressError(f"{host} is not a public address")


def _plain_address(host: str) -> str:
    """The usual form of an IPv4 address in one of its old forms (`127.1`, `0x7f000001`, `017700000001`)."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host


class GuardedResolver(AbstractResolver):
    """Resolves names to those of their addresses that may be connected to."""

    def __init__(self, allow_origins: Collection[str]) -> None:
        self._allow_origins = allow_origins
        self._resolver = ThreadedResolver(asyncio.get_running_loop())

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of `host` that are public, or all of them for an allowed origin.

        Raises BlockedAddressError if none remains, OSError if the name cannot be resolved.
        """
        found = await self._resolver.resolve(host, port, family)
        if _origin(host, port) in self._allow_origins:
            return found
        public = [result for result in found if is_public(result["host"])]
        if not public:
            raise BlockedAddressError(f"{host} resolves to {', '.join(sorted({r['host'] for r in found}))}, not public")
        return public

    async def close(self) -> None:
        """Nothing to release."""


def _origin(host: str, port: int) -> str:
    """The form in which settings name an origin."""
    return f"[{host}]:{port}" if ":" in host else f"{host.lower()}:{port}"
