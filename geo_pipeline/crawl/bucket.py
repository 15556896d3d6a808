"""The entrance of the crawl: buckets in, shards and manifests on disk, results out.

Here lives running a crawl for callers without an event loop (an asset, a command, a notebook). What a crawl does is in
`engine.py`. The one idea: the crawl runs in a thread with a loop of its own, so that an interrupt, which Python
delivers to the main thread, ends it in an orderly way wherever it is, and so that it also works where a loop runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from queue import SimpleQueue

import uvloop

from geo_pipeline.crawl.clock import utc_now
from geo_pipeline.crawl.engine import Engine
from geo_pipeline.crawl.folder import import_folder
from geo_pipeline.crawl.progress import BucketResult, CrawlProgress
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import Bucket

__all__ = ["Bucket", "BucketResult", "CrawlProgress", "crawl_buckets", "crawl_buckets_async", "import_folder"]

STOP_SECONDS = 5.0
"""An interrupted crawl is waited for so long; what it has recorded is safe in any case."""


def crawl_buckets(
    buckets: Sequence[Bucket],
    settings: CrawlSettings,
    *,
    on_progress: Callable[[CrawlProgress], None] | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Iterator[BucketResult]:
    """Crawl several buckets at once, with one session and shared limits; yields each one as it is finished.

    A finished bucket has its shards and `manifest.parquet` in place. A bucket with nothing due makes no request and
    yields an unchanged result; one that fails yields its error, and the others go on. `on_progress` is called about
    every second, in the caller's thread, while the caller waits for the next result. Leaving the iteration early (an
    interrupt, `break`) stops within seconds and keeps what was recorded: the next crawl continues there.
    """
    crawl = _BackgroundCrawl(buckets, settings, now)
    crawl.start()
    try:
        while not isinstance(message := crawl.messages.get(), _Ended):
            if isinstance(message, BucketResult):
                yield message
            elif on_progress:
                on_progress(message)
        if message.error:
            raise message.error
    finally:
        crawl.stop()


def crawl_buckets_async(
    buckets: Sequence[Bucket],
    settings: CrawlSettings,
    *,
    on_progress: Callable[[CrawlProgress], None] | None = None,
    now: Callable[[], datetime] = utc_now,
) -> AsyncGenerator[BucketResult, None]:
    """The same within a running event loop; `on_progress` is called in it. Close it (`aclosing`) when leaving early."""
    return Engine(buckets, settings, on_progress=on_progress, now=now).results()


@dataclass(frozen=True)
class _Ended:
    """The last message of a crawl."""

    error: BaseException | None


class _BackgroundCrawl(threading.Thread):
    """A crawl in a thread; what it has to say arrives in `messages`."""

    def __init__(self, buckets: Sequence[Bucket], settings: CrawlSettings, now: Callable[[], datetime]) -> None:
        super().__init__(name="crawl", daemon=True)
        self.messages: SimpleQueue[BucketResult | CrawlProgress | _Ended] = SimpleQueue()
        self._engine = Engine(buckets, settings, on_progress=self.messages.put, now=now)
        self._has_loop = threading.Event()

    def run(self) -> None:
        """The thread's body."""
        error: BaseException | None = None
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._crawl())
        except BaseException as raised:  # noqa: BLE001 it is raised again in the caller's thread
            error = raised
        self._has_loop.set()
        self.messages.put(_Ended(error))

    def stop(self) -> None:
        """Cancel the crawl, unless it has ended, and wait until it has let go of its files."""
        self._has_loop.wait()
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._task.cancel)
        self.join(STOP_SECONDS)

    async def _crawl(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(self._hand_out())
        self._has_loop.set()
        await self._task

    async def _hand_out(self) -> None:
        async with contextlib.aclosing(self._engine.results()) as results:
            async for result in results:
                self.messages.put(result)
