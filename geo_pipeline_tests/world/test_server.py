"""The server's answers over real HTTP, from an event loop for each test."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
from aiohttp import web
from PIL import Image, UnidentifiedImageError

from geo_pipeline.errors import InputError
from geo_pipeline.world.faults import Fault, fault_of, placeholder_picture
from geo_pipeline.world.fingerprint import world_fingerprint
from geo_pipeline.world.photo_sets import PHOTO_SETS
from geo_pipeline.world.server import PhotoServer, read_photos
from geo_pipeline.world.settings import WorldSettings
from geo_pipeline.world.views import JPEG_BYTES, encode_view, render_view
from geo_pipeline_tests.world.conftest import WORLD, Row

Metadata = Callable[[str], list[Row]]
Answer = TypeVar("Answer")


@contextlib.asynccontextmanager
async def serving(lists: Path, grace_seconds: float | None = None) -> AsyncIterator[tuple[PhotoServer, str]]:
    """A server on a free port, and its address."""
    server = PhotoServer(lists, grace_seconds)
    runner = web.AppRunner(server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield server, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def talk(conversation: Callable[[aiohttp.ClientSession], Awaitable[Answer]], lists: Path = WORLD) -> Answer:
    """What a conversation with a new server of the lists gives; its requests are paths."""

    async def run() -> Answer:
        async with serving(lists) as (_, address), aiohttp.ClientSession(address) as session:
            return await conversation(session)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def examples(metadata: Metadata) -> dict[Fault | None, Row]:
    """For each fault, and for none, one training photo that has it."""
    return {fault_of(row["IMG_ID"], benchmark=False): row for row in metadata("world_train")}


def path_of(row: Row) -> str:
    return f"/photos/{row['IMG_ID']}.jpg"


def test_the_committed_world_has_every_fault(examples: dict[Fault | None, Row]) -> None:
    assert set(examples) == {None, *Fault}


def test_a_photo_is_the_view_of_its_place(examples: dict[Fault | None, Row]) -> None:
    row = examples[None]

    async def conversation(session: aiohttp.ClientSession) -> bytes:
        async with session.get(path_of(row)) as response:
            assert response.status == 200
            return await response.read()

    assert talk(conversation) == encode_view(render_view(row["IMG_ID"], float(row["LAT"]), float(row["LON"])))


def test_headers_and_sizes_are_the_same_for_all_photos(metadata: Metadata) -> None:
    sound = [row for row in metadata("world_train") if fault_of(row["IMG_ID"], benchmark=False) is None]
    by_latitude = sorted(sound, key=lambda row: float(row["LAT"]))
    wet_and_dry = [by_latitude[0], by_latitude[len(sound) // 2], by_latitude[-1], *sound[:20]]

    async def conversation(session: aiohttp.ClientSession) -> tuple[set[tuple[tuple[str, str], ...]], set[str]]:
        headers, etags = set(), set()
        for row in wet_and_dry:
            async with session.get(path_of(row)) as response:
                assert len(await response.read()) == JPEG_BYTES
                etags.add(response.headers["ETag"])
                kept = {name: value for name, value in response.headers.items() if name.lower() not in ("etag", "date")}
                headers.add(tuple(sorted(kept.items())))
        return headers, etags

    headers, etags = talk(conversation)
    assert len(headers) == 1
    assert dict(next(iter(headers)))["Content-Length"] == str(JPEG_BYTES)
    assert "Last-Modified" not in dict(next(iter(headers)))
    assert len(etags) == len({row["IMG_ID"] for row in wet_and_dry})


def test_the_same_ids_at_other_places_answer_with_the_same_headers(small_world: WorldSettings) -> None:
    path = small_world.lists / "world_train_metadata.csv"
    photo_ids = list(read_photos(small_world.lists))

    async def conversation(session: aiohttp.ClientSession) -> list[tuple[int, dict[str, str]]]:
        answers = []
        for photo_id in photo_ids:
            async with session.get(f"/photos/{photo_id}.jpg", allow_redirects=False) as response:
                kept = {name: value for name, value in response.headers.items() if name != "Date"}
                answers.append((response.status, kept))
        return answers

    before = talk(conversation, small_world.lists)
    header, *lines = path.read_text().splitlines()
    elsewhere = [",".join([line.split(",")[0], "x", "-17.5", "31.25", *line.split(",")[4:]]) for line in lines]
    path.write_text("\n".join([header, *elsewhere]))
    assert talk(conversation, small_world.lists) == before


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault.NOT_FOUND, 404), (Fault.GONE, 410), (Fault.FORBIDDEN, 403)], ids=str
)
def test_a_lost_photo_is_refused_every_time(examples: dict[Fault | None, Row], fault: Fault, status: int) -> None:
    async def conversation(session: aiohttp.ClientSession) -> list[int]:
        return [(await session.get(path_of(examples[fault]))).status for _ in range(3)]

    assert talk(conversation) == [status] * 3


@pytest.mark.parametrize(("fault", "status"), [(Fault.THROTTLED, 429), (Fault.UNAVAILABLE, 503)], ids=str)
def test_a_passing_refusal_is_over_at_the_second_request(
    examples: dict[Fault | None, Row], fault: Fault, status: int
) -> None:
    async def conversation(session: aiohttp.ClientSession) -> list[tuple[int, str | None, int]]:
        answers = []
        for _ in range(3):
            async with session.get(path_of(examples[fault])) as response:
                answers.append((response.status, response.headers.get("Retry-After"), len(await response.read())))
        return answers

    first, *later = talk(conversation)
    assert first == (status, "1" if fault is Fault.THROTTLED else None, 0)
    assert later == [(200, None, JPEG_BYTES)] * 2


def test_a_moved_photo_is_found_by_following_the_redirect(examples: dict[Fault | None, Row]) -> None:
    row = examples[Fault.MOVED]

    async def conversation(session: aiohttp.ClientSession) -> tuple[int, bytes]:
        async with session.get(path_of(row)) as response:
            assert response.history[0].status == 302
            assert response.url.origin() == response.history[0].url.origin()
            return response.status, await response.read()

    picture = encode_view(render_view(row["IMG_ID"], float(row["LAT"]), float(row["LON"])))
    assert talk(conversation) == (200, picture)


def test_a_truncated_photo_ends_before_its_announced_length(examples: dict[Fault | None, Row]) -> None:
    async def conversation(session: aiohttp.ClientSession) -> tuple[str, bytes]:
        async with session.get(path_of(examples[Fault.TRUNCATED])) as response:
            start = await response.content.readexactly(JPEG_BYTES - 1024)
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
            return response.headers["Content-Length"], start

    length, start = talk(conversation)
    assert length == str(JPEG_BYTES)
    assert start.startswith(b"\xff\xd8")


@pytest.mark.parametrize("fault", [Fault.PLACEHOLDER, Fault.HTML, Fault.EMPTY, Fault.HALF_JPEG], ids=str)
def test_a_lying_body_comes_as_a_picture_with_status_200(examples: dict[Fault | None, Row], fault: Fault) -> None:
    async def conversation(session: aiohttp.ClientSession) -> bytes:
        async with session.get(path_of(examples[fault])) as response:
            assert (response.status, response.content_type) == (200, "image/jpeg")
            return await response.read()

    body = io.BytesIO(talk(conversation))
    match fault:
        case Fault.PLACEHOLDER:
            assert body.getvalue() == placeholder_picture()
        case Fault.HALF_JPEG:
            with Image.open(body) as picture, pytest.raises(OSError, match="image file is truncated"):
                picture.load()
        case _:
            with pytest.raises(UnidentifiedImageError):
                Image.open(body)


def test_unknown_paths_and_ids_are_not_found() -> None:
    async def conversation(session: aiohttp.ClientSession) -> set[int]:
        paths = ("/", "/photos/0.jpg", "/photos/../places.csv", "/moved/0.jpg", "/photos/0")
        return {(await session.get(path)).status for path in paths}

    assert talk(conversation) == {404}


def test_photos_of_the_folder_benchmark_are_not_served(metadata: Metadata) -> None:
    photos = read_photos(WORLD)
    assert not any(row["IMG_ID"].removesuffix(".jpg") in photos for row in metadata("world_300"))
    assert len(photos) == sum(photo_set.num_photos for photo_set in PHOTO_SETS if not photo_set.as_folder)


def test_the_world_tells_its_identity() -> None:
    async def conversation(session: aiohttp.ClientSession) -> dict[str, object]:
        async with session.get("/world") as response:
            return dict(await response.json())

    expected = {"fingerprint": world_fingerprint(WORLD), "photos": 14_500}
    assert talk(conversation) == expected


def test_a_damaged_metadata_file_is_named(small_world: WorldSettings) -> None:
    path = small_world.lists / "world_train_metadata.csv"
    path.write_text(path.read_text().replace("LAT", "LATITUDE"))
    with pytest.raises(InputError, match=r"world_train_metadata\.csv.*KeyError\('LAT'\)"):
        read_photos(small_world.lists)


def test_the_server_is_finished_only_after_the_grace_without_a_lease(small_world: WorldSettings) -> None:
    async def run() -> None:
        async with serving(small_world.lists, grace_seconds=0.3) as (server, address):
            async with aiohttp.ClientSession(address) as session:
                lease = await session.get("/lease")
                await lease.content.readline()
                await asyncio.sleep(0.6)
                assert not server.users.finished.is_set()
                lease.close()
            left_at = time.monotonic()
            await asyncio.wait_for(server.users.finished.wait(), 5)
            assert time.monotonic() - left_at > 0.25

    asyncio.run(run())


def test_a_server_that_is_about_to_end_gives_no_lease(small_world: WorldSettings) -> None:
    async def run() -> int:
        async with serving(small_world.lists) as (server, address), aiohttp.ClientSession(address) as session:
            server.users.finished.set()
            return (await session.get("/lease")).status

    assert asyncio.run(run()) == 503
