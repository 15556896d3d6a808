"""Connections as a crawler needs them: each says when its answer is too slow, and whether it was already dead.

Here lives what aiohttp does not tell about a connection; what a request makes of it is `fetching.py`'s business. The
one idea: a connection counts the bytes of each answer, and how many answers it has brought. So a head that trickles is
noticed, and a connection that ends before any byte of a later answer is known to have been closed while it was idle.
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

SLOW_AFTER_SECONDS = 5.0
"""The minimum rate is asked for once a head or a body has had this long to arrive."""


def is_too_slow(num_bytes: int, seconds: float, min_bytes_per_second: int) -> bool:
    """Whether so many bytes in so many seconds are below the minimum rate."""
    return seconds > SLOW_AFTER_SECONDS and num_bytes < seconds * min_bytes_per_second


class TooSlowError(aiohttp.ClientError):
    """The head of an answer comes slower than the minimum rate."""


class BrokenConnectionError(aiohttp.ClientConnectionError):
    """The connection ended before the head of its answer was whole."""


class StaleConnectionError(BrokenConnectionError):
    """A kept connection ended before any byte of an answer: the server may never have seen the request."""


class Connector(aiohttp.TCPConnector):
    """Makes such connections; `options` are aiohttp's own."""

    def __init__(self, min_bytes_per_second: int, **options: Any) -> None:  # noqa: ANN401 they are passed on
        super().__init__(**options)
        self._factory: Any = functools.partial(_Connection, asyncio.get_running_loop(), min_bytes_per_second)


class _Connection(ResponseHandler):
    """One connection and the answer that it is bringing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, min_bytes_per_second: int) -> None:
        super().__init__(loop)
        self._min_bytes_per_second = min_bytes_per_second
        self._num_requests = self._num_bytes = 0
        self._first_byte_at = 0.0

    def is_connected(self) -> bool:
        """Whether it can take a request: a kept one that has brought anything unasked for would answer with that."""
        return super().is_connected() and not self.should_close

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401 they are passed on
        """A request is about to be sent."""
        self._num_requests += 1
        self._num_bytes = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer have come; whoever waits for its head learns of it if they are too few."""
        now = time.monotonic()
        if not self._num_bytes:
            self._first_byte_at = now
        self._num_bytes += len(data)
        seconds, is_head = now - self._first_byte_at, self._payload is None or self._payload.is_eof()
        if is_head and is_too_slow(self._num_bytes, seconds, self._min_bytes_per_second):
            self.set_exception(TooSlowError(f"{self._num_bytes} bytes of the head in {seconds:.0f} seconds"))
        else:
            super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """The reader of the answer gets `exc`, by a name that aiohttp does not take for a reason to ask again.

        It would repeat every request whose connection breaks, fresh or kept, unseen by those who count and pace them.
        """
        if isinstance(exc, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError):
            is_stale = self._num_requests > 1 and not self._num_bytes
            exc = (StaleConnectionError if is_stale else BrokenConnectionError)(str(exc) or type(exc).__name__)
        super().set_exception(exc, *cause)
        # aiohttp tells of this only whoever waits for the head: a broken body would last until its deadline
        payload = self._payload
        if isinstance(exc, HttpProcessingError) and payload and not payload.is_eof():
            payload.set_exception(aiohttp.ClientPayloadError(str(exc)))
