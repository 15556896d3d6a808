"""One request: what a URL answers, within a deadline, a size and a minimum rate.

Here lives everything that touches the network. A request never follows a redirect and never repeats itself: what comes
next is for `decisions.py`, when it may happen for `frontier.py`. The one idea: whatever a server does, a request ends
with a `Reply`, in bounded time and memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import aiohttp
from aiohttp.http_exceptions import ContentLengthError, TransferEncodingError
from yarl import URL

from geo_pipeline.crawl.address_guard import BlockedAddressError, GuardedResolver, check_literal_host
from geo_pipeline.crawl.body import Body
from geo_pipeline.crawl.budget import Lease
from geo_pipeline.crawl.connections import Connector, StaleConnectionError, TooSlowError, is_too_slow
from geo_pipeline.crawl.headers import opt_out, retry_after_seconds
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.shards.manifest import Status

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WITHOUT_CONTENT = frozenset({204, 205})
_NOT_MODIFIED = 304
_DNS_SECONDS = 300
_DNS_NAMES = 10_000
_ENDED_EARLY = (ContentLengthError, TransferEncodingError)
_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Status], ...] = (
    (BlockedAddressError, Status.BLOCKED_ADDRESS),
    (TooSlowError, Status.TOO_SLOW),
    (TimeoutError, Status.TIMEOUT),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), Status.INVALID_URL),
    ((aiohttp.ClientConnectionError, OSError), Status.CONNECTION),
)
"""What an error means: the first line counts that names its class. The others are breaches of the protocol."""

_HEADERS = {"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request brought.

    `status` is `ok` when a whole body arrived, or when the server says that nothing has changed (304). A redirect has
    its target in `location`; its `redirect_error` stands if the target is not followed. `retry_after` is in seconds,
    `latency_seconds` the time from asking to the headers.
    """

    url: URL
    status: Status
    http_status: int | None = None
    body: bytes = b""
    bytes_received: int = 0
    location: str | None = None
    retry_after: float | None = None
    etag: str | None = None
    last_modified: str | None = None
    error: str | None = None
    latency_seconds: float | None = None

    @property
    def is_unchanged(self) -> bool:
        """Whether the server says that what is stored is what it would send (RFC 9110, section 15.4.5)."""
        return self.status is Status.OK and self.http_status == _NOT_MODIFIED


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server said of the stored version of a photo (RFC 9110, section 8.8)."""

    etag: str | None
    last_modified: str | None

    def as_headers(self) -> dict[str, str]:
        """The headers that ask for the photo only if it has changed; none if nothing is known."""
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.last_modified} if self.last_modified else {}


class Fetcher:
    """A session with keep-alive connections that lead to permitted addresses only; use it with `async with`."""

    def __init__(self, settings: CrawlSettings, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._now = now
        self.requests = 0

    async def __aenter__(self) -> Self:
        resolver = GuardedResolver(self._settings.allow_origins, self._settings.timeout_seconds)
        # Limits of connections are the frontier's: it must know about them to choose what to ask next.
        connector = Connector(
            self._settings.min_bytes_per_second,
            limit=0,
            resolver=resolver,
            ttl_dns_cache=_DNS_SECONDS,
            dns_cache_max_size=_DNS_NAMES,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=_HEADERS | {"User-Agent": self._settings.agent_header},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def request(
        self, url: URL, lease: Lease, known: Validators | None = None, *, start_only: int | None = None
    ) -> Reply:
        """Ask for a URL once; the body is counted in `lease`. `known` asks for a body only if it has changed.

        `start_only` asks for a text of which so many bytes are enough: no header forbids it and no body is too large.
        Whatever goes wrong is in the reply; only cancellation is raised.
        """
        self.requests += 1
        asked = known.as_headers() if known else {}
        began = asyncio.get_running_loop().time()
        deadline = began + self._settings.timeout_seconds
        try:
            check_literal_host(url, self._settings.allow_origins)
            async with asyncio.timeout_at(deadline):
                response = await self._head(url, asked)
            latency = asyncio.get_running_loop().time() - began
            async with response:
                if start_only is None:
                    reply = await self._read(url, response, lease, deadline, is_conditional=bool(asked))
                else:
                    async with asyncio.timeout_at(deadline):
                        reply = await self._read_start(url, response, lease, start_only)
            return replace(reply, latency_seconds=latency)
        except Exception as error:  # noqa: BLE001 no answer, however odd, may end the whole crawl
            return Reply(url, _failure(error), error=_described(error))

    async def _head(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The head of the answer.

        A request whose kept connection turns out to have been closed goes over the next one (RFC 9112, section 9.3.1),
        at last over a fresh one.
        """
        while True:
            try:
                return await self._session.get(url, allow_redirects=False, headers=headers)
            except StaleConnectionError:
                continue

    async def _read(
        self, url: URL, response: aiohttp.ClientResponse, lease: Lease, deadline: float, *, is_conditional: bool
    ) -> Reply:
        """Judge the headers, then read the body if it is worth reading."""
        headers = response.headers
        status, error = self._judge_head(response)
        body, received = b"", 0
        if is_conditional and response.status == _NOT_MODIFIED:
            status, error = Status.OK, None
        elif status is Status.OK:
            status, error, body, received = await self._read_body(response, lease, deadline)
        return Reply(
            url,
            status,
            http_status=response.status,
            body=body,
            bytes_received=received,
            location=headers.get("Location") if response.status in _REDIRECTS else None,
            retry_after=retry_after_seconds(headers.get("Retry-After"), self._now()),
            etag=_readable(headers.get("ETag")),
            last_modified=_readable(headers.get("Last-Modified")),
            error=_readable(error),
        )

    async def _read_start(self, url: URL, response: aiohttp.ClientResponse, lease: Lease, num_bytes: int) -> Reply:
        """The first `num_bytes` of a success's body, or a few more."""
        body = bytearray()
        status = _status_of_code(response.status)
        while status is Status.OK and len(body) < num_bytes and (chunk := await response.content.readany()):
            body += chunk
            lease.add(len(chunk))
        return Reply(
            url,
            status,
            http_status=response.status,
            body=bytes(body),
            location=response.headers.get("Location") if response.status in _REDIRECTS else None,
            retry_after=retry_after_seconds(response.headers.get("Retry-After"), self._now()),
            error=None if status is Status.OK else f"HTTP {response.status}",
        )

    def _judge_head(self, response: aiohttp.ClientResponse) -> tuple[Status, str | None]:
        """The status that the headers alone decide and why; `ok` if the body decides."""
        status = _status_of_code(response.status)
        if status is not Status.OK:
            return status, None if status is Status.EMPTY else f"HTTP {response.status} {response.reason or ''}".strip()
        headers = response.headers
        refusal = opt_out(headers.getall("X-Robots-Tag", ()), headers.get("tdm-reservation"), self._settings.user_agent)
        if refusal:
            return Status.OPTED_OUT, refusal
        announced = response.content_length or 0
        if announced > self._settings.max_bytes:
            return Status.TOO_LARGE, f"{announced} bytes announced"
        return Status.OK, None

    async def _read_body(
        self, response: aiohttp.ClientResponse, lease: Lease, deadline: float
    ) -> tuple[Status, str | None, bytes, int]:
        """(status, error, body, bytes received): the body comes back only if it is whole and may be a picture."""
        body = Body(lease)
        try:
            status, error = await self._fill(body, response, lease, deadline)
        except TimeoutError:
            return Status.TIMEOUT, f"{body.received} bytes of the body came before the deadline", b"", body.received
        except (aiohttp.ClientError, OSError) as broken:
            return _failure(broken), _described(broken.__cause__ or broken), b"", body.received
        return status, error, body.whole() if status is Status.OK else b"", body.received

    async def _fill(
        self, body: Body, response: aiohttp.ClientResponse, lease: Lease, deadline: float
    ) -> tuple[Status, str | None]:
        """Read a body to its end, or to the limit that it breaks."""
        started = time.monotonic()
        async with asyncio.timeout_at(deadline) as end:
            while chunk := await response.content.readany():
                is_over_budget = body.add(chunk)
                if body.received > self._settings.max_bytes:
                    return _beyond_limit(response), f"over {body.received} bytes"
                seconds = time.monotonic() - started
                if is_over_budget:
                    started += await _turn(lease, end)
                if is_too_slow(body.received, seconds, self._settings.min_bytes_per_second):
                    return Status.TOO_SLOW, f"{body.received} bytes in {seconds:.0f} seconds"
        if not body.received:
            return Status.EMPTY, None
        return (Status.OK, None) if body.is_kept else (Status.NOT_AN_IMAGE, f"no picture begins {body.start()!r}")


async def _turn(lease: Lease, deadline: asyncio.Timeout) -> float:
    """Return when more of a body may be read.

    The seconds waited for the byte budget, which are returned, are not the server's: the deadline is put off by them.
    """
    loop = asyncio.get_running_loop()
    began, when = loop.time(), deadline.when()
    deadline.reschedule(None)
    await lease.turn()
    waited = loop.time() - began
    deadline.reschedule(when + waited if when is not None else None)
    return waited


def _status_of_code(code: int) -> Status:
    """The status that an HTTP status code decides; `ok` if the body decides."""
    named = {404: Status.NOT_FOUND, 410: Status.GONE, 429: Status.THROTTLED, 206: Status.PROTOCOL_ERROR}
    if code in named:
        return named[code]
    if code in _WITHOUT_CONTENT:
        return Status.EMPTY
    by_class = {2: Status.OK, 3: Status.REDIRECT_ERROR, 4: Status.FORBIDDEN, 5: Status.SERVER_ERROR}
    return by_class.get(code // 100, Status.PROTOCOL_ERROR)


def _beyond_limit(response: aiohttp.ClientResponse) -> Status:
    """The status of a body that has outgrown the limit."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    return Status.TOO_LARGE if encoding in {"", "identity"} else Status.BOMB


def _failure(error: BaseException) -> Status:
    """The status of a request that broke off."""
    if isinstance(error, aiohttp.ClientPayloadError) and isinstance(error.__cause__, _ENDED_EARLY):
        return Status.TRUNCATED
    return next((status for kinds, status in _FAILURES if isinstance(error, kinds)), Status.PROTOCOL_ERROR)


def _described(error: BaseException) -> str:
    """What the manifest says of an error."""
    if isinstance(error, TimeoutError):
        return "no head of an answer came before the deadline"
    return _readable(f"{type(error).__name__}: {error}") or ""


def _readable(text: str | None) -> str | None:
    """A header's text as it can be stored: not too long, and without what is no UTF-8."""
    return text and text[:300].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
