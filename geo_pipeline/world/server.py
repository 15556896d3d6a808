"""The photo server of the bundled world.

Here lives HTTP: photos under `/photos/<id>.jpg`, the world's identity under `/world`, and `/lease`, a response that
lasts as long as a client needs the server. What a photo shows is `views`, which ones misbehave is `faults`. The one
idea: an answer is a function of the id, and nothing but the picture depends on the place.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import hashlib
import json
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from geo_pipeline.errors import InputError
from geo_pipeline.world.faults import Fault, body_with, fault_of
from geo_pipeline.world.fingerprint import world_fingerprint
from geo_pipeline.world.photo_sets import PHOTO_SETS
from geo_pipeline.world.views import blue_marble, encode_view, render_view

RETRY_AFTER_SECONDS = 1
_SHUTDOWN_SECONDS = 0.5
_REFUSALS = {
    Fault.NOT_FOUND: 404,
    Fault.GONE: 410,
    Fault.FORBIDDEN: 403,
    Fault.THROTTLED: 429,
    Fault.UNAVAILABLE: 503,
}


@dataclass(frozen=True)
class ServedPhoto:
    """What the server knows of a photo; degrees."""

    latitude: float
    longitude: float
    fault: Fault | None


def read_photos(lists: Path) -> dict[str, ServedPhoto]:
    """The photos of every set in `lists` that has a URL list, by id. Raises InputError naming a damaged file."""
    photos = {}
    for photo_set in PHOTO_SETS:
        path = lists / f"{photo_set.name}_metadata.csv"
        if photo_set.as_folder or not path.exists():
            continue
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    fault = fault_of(row["IMG_ID"], benchmark=photo_set.benchmark)
                    photos[row["IMG_ID"]] = ServedPhoto(float(row["LAT"]), float(row["LON"]), fault)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a metadata file of the world ({error!r}); make the lists again") from error
    return photos


class Users:
    """Counts who needs the server, and sets `finished` when nobody has for `grace_seconds` (None: never)."""

    def __init__(self, grace_seconds: float | None) -> None:
        self.finished = asyncio.Event()
        self._grace_seconds = grace_seconds
        self._count = 0
        self._end: asyncio.TimerHandle | None = None
        self._wait_for_nobody()

    @contextlib.contextmanager
    def one_more(self) -> Iterator[None]:
        """Counts a user while the block runs."""
        self._count += 1
        if self._end is not None:
            self._end.cancel()
        try:
            yield
        finally:
            self._count -= 1
            if self._count == 0:
                self._wait_for_nobody()

    def _wait_for_nobody(self) -> None:
        if self._grace_seconds is not None:
            self._end = asyncio.get_running_loop().call_later(self._grace_seconds, self.finished.set)


class PhotoServer:
    """The request handlers and what they remember: who was refused once, who holds a lease."""

    def __init__(self, lists: Path, grace_seconds: float | None = None) -> None:
        self.users = Users(grace_seconds)
        self._photos = read_photos(lists)
        self._refused_once: set[str] = set()
        self._identity = {
            "fingerprint": world_fingerprint(lists),
            "photos": len(self._photos),
        }

    def application(self) -> web.Application:
        """The aiohttp application; run it with `handler_cancellation=True`, which is how a lost lease is noticed."""
        application = web.Application()
        application.router.add_get("/photos/{photo_id}.jpg", self.photo)
        application.router.add_get("/moved/{photo_id}.jpg", self.moved_photo)
        application.router.add_get("/world", self.world)
        application.router.add_get("/lease", self.lease)
        return application

    async def world(self, _request: web.Request) -> web.Response:
        """The world's identity as JSON."""
        return web.json_response(self._identity)

    async def lease(self, request: web.Request) -> web.StreamResponse:
        """Sends the world's identity as one line of JSON, then nothing until the client closes the connection.

        A client that is killed closes it as well. A server that is about to end answers 503: ask its successor.
        """
        if self.users.finished.is_set():
            raise web.HTTPServiceUnavailable
        with self.users.one_more():
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            await response.prepare(request)
            await response.write(json.dumps(self._identity).encode() + b"\n")
            await self.users.finished.wait()
        return response

    async def photo(self, request: web.Request) -> web.StreamResponse:
        """A photo, or its fault."""
        photo_id = request.match_info["photo_id"]
        photo = self._photos.get(photo_id)
        if photo is None:
            return web.Response(status=404)
        refusal = self._refusal(photo_id, photo.fault)
        if refusal is not None:
            return refusal
        picture = self._picture(photo_id, photo)
        body = body_with(photo.fault, picture)
        if photo.fault is Fault.TRUNCATED:
            return await _send_truncated(request, body or b"", len(picture), _headers(photo_id))
        return web.Response(body=body, headers=_headers(photo_id))

    def _refusal(self, photo_id: str, fault: Fault | None) -> web.Response | None:
        """The answer in place of the picture, if the fault is one of those that send none."""
        match fault:
            case Fault.NOT_FOUND | Fault.GONE | Fault.FORBIDDEN:
                return web.Response(status=_REFUSALS[fault])
            case Fault.MOVED:
                return web.Response(status=302, headers={"Location": f"/moved/{photo_id}.jpg"})
            case Fault.THROTTLED | Fault.UNAVAILABLE if photo_id not in self._refused_once:
                self._refused_once.add(photo_id)
                headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if fault is Fault.THROTTLED else {}
                return web.Response(status=_REFUSALS[fault], headers=headers)
        return None

    async def moved_photo(self, request: web.Request) -> web.Response:
        """Where a moved photo is now."""
        photo_id = request.match_info["photo_id"]
        photo = self._photos.get(photo_id)
        if photo is None or photo.fault is not Fault.MOVED:
            return web.Response(status=404)
        return web.Response(body=self._picture(photo_id, photo), headers=_headers(photo_id))

    def _picture(self, photo_id: str, photo: ServedPhoto) -> bytes:
        # In the event loop: a thread made each photo cost half as much CPU again (1.1 against 0.75 ms, 2 cores).
        return encode_view(render_view(photo_id, photo.latitude, photo.longitude))


def _headers(photo_id: str) -> dict[str, str]:
    """Headers of a picture; the only one that differs between photos is a hash of the id."""
    etag = hashlib.sha256(b"geo_pipeline etag 1\0" + photo_id.encode()).hexdigest()[:16]
    return {"Content-Type": "image/jpeg", "ETag": f'"{etag}"'}


async def _send_truncated(
    request: web.Request, start: bytes, announced_bytes: int, headers: dict[str, str]
) -> web.StreamResponse:
    """Announces more than it sends, and closes the connection."""
    response = web.StreamResponse(headers={**headers, "Content-Length": str(announced_bytes)})
    response.force_close()
    await response.prepare(request)
    await response.write(start)
    return response


async def serve(
    listener: socket.socket, lists: Path, *, grace_seconds: float | None, on_ready: Callable[[], None]
) -> None:
    """Serve the lists on a listening socket until SIGTERM, SIGINT, or nobody needed it for `grace_seconds`."""
    blue_marble()
    server = PhotoServer(lists, grace_seconds)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.users.finished.set)
    runner = web.AppRunner(
        server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        on_ready()
        await server.users.finished.wait()
    finally:
        await runner.cleanup()
