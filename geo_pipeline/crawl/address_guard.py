"""Which addresses a crawl may connect to: public ones, and the exceptions named in the settings.

Here live the judgement of an address and the resolver that applies it. The one idea: the address judged is the
address connected to. Names are judged after they are resolved, by the resolver that the connections use; a host
written as an address is judged before each request (a connector does not resolve it).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

LOOKUPS_AT_ONCE = 16
"""Names looked up at the same time: name servers are shared with others, and lists name many hosts."""

FAILED_SECONDS = 5.0
"""A name that could not be resolved is not looked up again sooner."""

_MAX_FAILED = 10_000
_MAX_LOOKUP_SECONDS = 10.0
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


Addresses = list[tuple[socket.AddressFamily, str]]
"""What a name resolves to: (family, address)."""


def look_up(host: str, family: socket.AddressFamily) -> Addresses:
    """The addresses of a name, by the system's resolver; blocks. Raises OSError if there are none."""
    found = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [(family, str(address[0])) for family, _, _, _, address in found]


class GuardedResolver(AbstractResolver):
    """Resolves names to those of their addresses that may be connected to.

    At most LOOKUPS_AT_ONCE names are looked up at a time, each for `timeout_seconds` at most. Good answers are for the
    caller to keep (aiohttp's connector does, and asks once for simultaneous requests); failures are kept here.
    """

    def __init__(
        self,
        allow_origins: Collection[str],
        timeout_seconds: float = _MAX_LOOKUP_SECONDS,
        look_up: Callable[[str, socket.AddressFamily], Addresses] = look_up,
    ) -> None:
        self._allow_origins, self._look_up = allow_origins, look_up
        self._timeout_seconds = min(timeout_seconds, _MAX_LOOKUP_SECONDS)
        self._turns = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._failed: dict[str, tuple[float, str]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of `host` that are public, or all of them for an allowed origin.

        Raises BlockedAddressError if none remains, OSError if the name cannot be resolved.
        """
        found = await self._addresses(host, family)
        is_allowed = _origin(host, port) in self._allow_origins
        usable = [(family, address) for family, address in found if is_allowed or is_public(address)]
        if not usable:
            raise BlockedAddressError(f"{host} resolves to {', '.join(sorted({a for _, a in found}))}, not public")
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=socket.IPPROTO_TCP, flags=flags)
            for family, address in usable
        ]

    async def close(self) -> None:
        """Nothing to release: lookups that are under way end by themselves."""

    async def _addresses(self, host: str, family: socket.AddressFamily) -> Addresses:
        """What a name resolves to, or its latest failure if that is fresh."""
        failed_at, error = self._failed.pop(host, (0.0, ""))
        if time.monotonic() < failed_at + FAILED_SECONDS:
            self._failed[host] = failed_at, error
            raise OSError(error)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._look_up_in_turn(host, family)
        except (OSError, UnicodeError) as failure:  # a name may be no name at all
            error = str(failure) or f"no answer in {self._timeout_seconds:g} seconds"
        if len(self._failed) >= _MAX_FAILED:
            del self._failed[next(iter(self._failed))]
        self._failed[host] = time.monotonic(), error
        raise OSError(error)

    async def _look_up_in_turn(self, host: str, family: socket.AddressFamily) -> Addresses:
        """Look a name up in a thread.

        A turn lasts as long as its thread, also when nobody waits any more. The threads are not the loop's own, which
        write files and would wait with the lookups, and the end of the program does not wait for them.
        """
        await self._turns.acquire()
        answer: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(self._end_turn)
        threading.Thread(target=self._answer, args=(answer, host, family), name=f"dns {host}", daemon=True).start()
        return await asyncio.shield(answer)

    def _end_turn(self, answer: asyncio.Future[Addresses]) -> None:
        self._turns.release()
        if not answer.cancelled():
            answer.exception()  # it may have come too late for whoever asked

    def _answer(self, answer: asyncio.Future[Addresses], host: str, family: socket.AddressFamily) -> None:
        """A thread's body."""
        try:
            found = self._look_up(host, family)
            settle = partial(answer.set_result, found)
        except Exception as error:  # noqa: BLE001 whoever asked gets it
            settle = partial(answer.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            answer.get_loop().call_soon_threadsafe(settle)


def _origin(host: str, port: int) -> str:
    """The form in which settings name an origin."""
    return f"[{host}]:{port}" if ":" in host else f"{host.lower()}:{port}"
