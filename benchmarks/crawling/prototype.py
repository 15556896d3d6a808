"""The floor: the bare steps of a crawl without a policy, a ledger, a sync or a check.

`python -m crawling.prototype --url-csv FILE --output FOLDER ...` downloads with one keep-alive session under uvloop,
makes the pictures as the crawl does, in as many threads, and appends them to one MessagePack file.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import aiohttp
import msgpack
import uvloop

from geo_pipeline.crawl.photo import store_picture
from geo_pipeline.crawl.settings import CrawlSettings


async def crawl(rows: Iterator[list[str]], output: BinaryIO, settings: CrawlSettings) -> None:
    """Download every row's URL and append its picture."""
    loop, threads = asyncio.get_running_loop(), ThreadPoolExecutor(settings.decode_threads)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def work() -> None:
            for photo_id, url in rows:
                async with session.get(url) as response:
                    body = await response.read()
                picture = await loop.run_in_executor(threads, store_picture, body, settings)
                output.write(msgpack.packb({"id": photo_id, "image": picture.jpeg}))

        await asyncio.gather(*(work() for _ in range(settings.concurrency)))


def main() -> None:
    """Read the arguments and crawl."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url-csv", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--quality", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    options = parser.parse_args()
    settings = CrawlSettings(image_size=options.image_size, quality=options.quality, concurrency=options.concurrency)
    options.output.mkdir()
    with options.url_csv.open(newline="") as listed, (options.output / "shard-00000.msg").open("wb") as output:
        rows = csv.reader(listed)
        next(rows)
        uvloop.run(crawl(rows, output, settings))


if __name__ == "__main__":
    main()
