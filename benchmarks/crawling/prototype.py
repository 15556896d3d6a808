"""The floor: the bare steps of a crawl without a policy, a ledger, a sync or a check.

`python -m crawling.prototype --url-csv FILE --output FOLDER ...` downloads with one keep-alive session under uvloop,
decodes, resizes (area) and encodes in two threads, hashes body and picture, and appends to one MessagePack file.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import aiohttp
import cv2
import msgpack
import simplejpeg
import uvloop

_THREADS = 2


async def crawl(rows: Iterator[list[str]], output: BinaryIO, options: argparse.Namespace) -> None:
    """Download every row's URL and append its picture."""
    loop, threads = asyncio.get_running_loop(), ThreadPoolExecutor(_THREADS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def work() -> None:
            for photo_id, url in rows:
                async with session.get(url) as response:
                    body = await response.read()
                jpeg, *_ = await loop.run_in_executor(threads, picture, body, options.image_size, options.quality)
                output.write(msgpack.packb({"id": photo_id, "image": jpeg}))

        await asyncio.gather(*(work() for _ in range(options.concurrency)))


def picture(body: bytes, short_side: int, quality: int) -> tuple[bytes, str, str]:
    """(the JPEG that is stored, SHA-256 of the body, SHA-256 of that JPEG)."""
    pixels = simplejpeg.decode_jpeg(body)
    height, width = pixels.shape[:2]
    scale = short_side / min(width, height)
    small = cv2.resize(pixels, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    jpeg = simplejpeg.encode_jpeg(small, quality, colorsubsampling="420")
    return jpeg, hashlib.sha256(body).hexdigest(), hashlib.sha256(jpeg).hexdigest()


def main() -> None:
    """Read the arguments and crawl."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url-csv", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--quality", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.output.mkdir()
    with options.url_csv.open(newline="") as listed, (options.output / "shard-00000.msg").open("wb") as output:
        rows = csv.reader(listed)
        next(rows)
        uvloop.run(crawl(rows, output, options))


if __name__ == "__main__":
    main()
