"""Real servers on loopback for the crawl's tests: one with odd answers, and one that speaks raw bytes."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web
from PIL import Image

T = TypeVar("T")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def picture(seed: int = 0, size: tuple[int, int] = (80, 64), picture_format: str = "JPEG", **options: Any) -> bytes:
    """A small picture whose pixels depend on `seed`."""
    gradient = Image.linear_gradient("L").resize(size).rotate(seed % 360)
    image = Image.merge("RGB", (gradient, gradient.rotate(90), Image.new("L", size, seed % 256)))
    buffer = io.BytesIO()
    image.save(buffer, picture_format, **options)
    return buffer.getvalue()


class LoopThread:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def close(self) -> None:
        self.run(self._cancel_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class Asked:
    """A request that a server got, and when (monotonic seconds)."""

    path: str
    at: float
    headers: dict[str, str]


class PhotoServer:
    """An aiohttp server: `/photos/<number>.jpg` is a picture, everything else what `answers` says.

    Requests for `/robots.txt` (404 unless it has an answer) are kept apart from the others.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        self.asked_for_robots: list[Asked] = []
        self.in_flight = self.most_in_flight = 0
        self.delay_seconds = 0.0
        self.understands_conditions = False
        self._thread = LoopThread()
        self._thread.run(self._start())

    @property
    def origin(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.origin}{path}"

    def answer(self, path: str, status: int = 200, body: bytes = b"", **headers: str) -> str:
        """Let a path answer the same every time; `_` in a header's name stands for `-`. Returns the URL."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}

        async def respond(_: web.Request) -> web.Response:
            return web.Response(status=status, body=body, headers=fields)

        self.answers[path] = respond
        return self.url(path)

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def close(self) -> None:
        self._thread.run(self._runner.cleanup())
        self._thread.close()

    async def _start(self) -> None:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._respond)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        asked = self.asked_for_robots if request.path == "/robots.txt" else self.asked
        asked.append(Asked(request.path_qs, time.monotonic(), dict(request.headers)))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if request.path in self.answers:
                return await self.answers[request.path](request)
            if request.path.startswith("/photos/"):
                number = int(request.path.removeprefix("/photos/").removesuffix(".jpg"))
                etag = f'"{number}"'
                if self.understands_conditions and request.headers.get("If-None-Match") == etag:
                    return web.Response(status=304, headers={"ETag": etag})
                return web.Response(body=picture(number), headers={"ETag": etag})
            return web.Response(status=404)
        finally:
            self.in_flight -= 1


NO_ROBOTS = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

RESET = object()
"""In a script: reset the connection."""
NEXT_REQUEST = object()
"""In a script: wait for another request on the same connection."""


class RawServer:
    """Speaks a script to every request: bytes are sent, numbers are slept, RESET resets; then it hangs up.

    A request for `/robots.txt` gets a proper 404, and no script.

    `requests` are the request lines in the order of their arrival. With `tls` it speaks https.
    """

    def __init__(self, *script: object, tls: ssl.SSLContext | None = None) -> None:
        self._script, self._tls = script, tls
        self._thread = LoopThread()
        self.num_connections = 0
        self.requests: list[bytes] = []
        self._thread.run(self._start())

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self._thread.run(self._stop())
        self._thread.close()

    async def _stop(self) -> None:
        """In its own loop: closing from another thread meets a connection that ends at the same moment."""
        self._server.close()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            for step in (NEXT_REQUEST, *self._script):
                if step is NEXT_REQUEST:
                    head = await reader.readuntil(b"\r\n\r\n")
                    if head.startswith(b"GET /robots.txt "):
                        self.num_connections -= 1
                        await self._do(NO_ROBOTS, writer)
                        return
                    self.requests.append(head.partition(b"\r\n")[0])
                await self._do(step, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _do(self, step: object, writer: asyncio.StreamWriter) -> None:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif isinstance(step, float):
            await asyncio.sleep(step)
        elif step is RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
