"""The crawl itself: many photos of several buckets on their way at once.

Here the parts meet: stores plan and record, the frontier says which photo is next, the fetcher asks, decisions say
what follows, threads decode. The one idea: a fixed number of workers, each with one photo in hand from taking it to
recording it, bounds connections, memory and the work lost in a crash alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
from yarl import URL

from geo_pipeline.crawl.budget import ByteBudget
from geo_pipeline.crawl.decisions import Again, Outcome, Visit, decide
from geo_pipeline.crawl.deferrals import silences
from geo_pipeline.crawl.fetching import Fetcher, Reply, Validators
from geo_pipeline.crawl.frontier import Frontier
from geo_pipeline.crawl.photo import RefusedPictureError, store_picture
from geo_pipeline.crawl.progress import BucketProgress, BucketResult, CrawlProgress
from geo_pipeline.crawl.robots import MAX_ROBOTS_BYTES, RobotsErrand, robots_errand, robots_settings, rules_from
from geo_pipeline.crawl.rows import outcome_row, unchanged_row
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import Bucket, BucketStore
from geo_pipeline.crawl.tally import Tally
from geo_pipeline.crawl.urls import InvalidUrlError, origin_of, parse_url, with_size_suffix
from geo_pipeline.shards.manifest import ManifestRow, Status

WAITING_PHOTOS = 5_000
"""Photos that wait in memory for their turn; the others stay in their bucket's table."""

_SYNC_SECONDS = 1.0
_ROWS_AT_A_TIME = 1024


@dataclass(eq=False)
class _Work:
    """A bucket in work; `num_left` counts its due photos without an outcome, `opened` is the loop's time."""

    store: BucketStore
    num_left: int
    opened: float
    tally: Tally = field(default_factory=Tally)
    has_failed: bool = False

    def progress(self) -> BucketProgress:
        """How far it is."""
        total, count = self.store.plan.num_listed, self.tally.total
        done = total - self.num_left
        return BucketProgress(
            self.store.bucket.key, total, done, count.requests, count.bytes_received, dict(count.outcomes)
        )


class Engine:
    """Crawls buckets; iterate `results` once, within one event loop."""

    def __init__(
        self,
        buckets: Sequence[Bucket],
        settings: CrawlSettings,
        *,
        on_progress: Callable[[CrawlProgress], None] | None,
        now: Callable[[], datetime],
    ) -> None:
        self._buckets, self._settings, self._on_progress, self._now = buckets, settings, on_progress, now
        self._num_listed = sum(bucket.num_photos for bucket in buckets)
        self._in_work: set[_Work] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._tally = Tally()
        self._num_done = self._num_finished = 0

    async def results(self) -> AsyncGenerator[BucketResult, None]:
        """Each bucket as it is finished.

        When the iteration ends early, for whatever reason, everything recorded so far is kept for the next crawl.
        """
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._finished: asyncio.Queue[BucketResult | BaseException] = asyncio.Queue()
        self._frontier: Frontier[Visit[_Work] | RobotsErrand] = Frontier(
            self._settings, capacity=WAITING_PHOTOS, errand=robots_errand, clock=time.monotonic
        )
        self._budget = ByteBudget(self._settings.max_bytes_in_flight)
        self._threads = ThreadPoolExecutor(self._settings.decode_threads, thread_name_prefix="decode")
        try:
            async with Fetcher(self._settings, self._now) as self._fetcher:
                self._start_parts()
                try:
                    for _ in self._buckets:
                        yield await self._next_result()
                    self._report()
                finally:
                    await self._cancel_parts()
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            for work in self._in_work:
                with contextlib.suppress(OSError):  # of a full disk: its bucket's result has told of it
                    work.store.close()

    async def _next_result(self) -> BucketResult:
        result = await self._finished.get()
        if isinstance(result, BaseException):
            raise result
        self._num_finished += 1
        return result

    def _start_parts(self) -> None:
        self._start(self._feed())
        self._start(self._sync_regularly())
        for _ in range(self._settings.concurrency):
            self._start(self._visit_one_by_one())

    def _start(self, part: Coroutine[None, None, None]) -> None:
        """Run a part of the crawl; if it breaks, the whole crawl ends with its error."""
        task = asyncio.create_task(part)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._finished.put_nowait(error)

    async def _cancel_parts(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self) -> None:
        """Open one bucket after another and queue its due photos while there is room."""
        for origin, until in (await asyncio.to_thread(silences, self._buckets, self._settings)).items():
            self._frontier.hold(origin, (until - self._now()).total_seconds())
        for bucket in self._buckets:
            await self._frontier.room()
            try:
                store = await asyncio.to_thread(BucketStore, bucket, self._settings, self._now())
            except Exception as error:  # noqa: BLE001 it is this bucket's result and stops no other bucket
                self._num_done += bucket.num_photos
                self._finished.put_nowait(BucketResult(bucket.key, None, 0, 0, changed=False, error=error))
                continue
            await self._feed_bucket(_Work(store, store.plan.due.num_rows, self._loop.time()))

    async def _feed_bucket(self, work: _Work) -> None:
        self._in_work.add(work)
        self._num_done += work.store.plan.num_listed - work.num_left
        if not work.num_left:
            self._start(self._finish(work))
        for visit in self._visits(work):
            await self._frontier.room()
            self._frontier.add(origin_of(visit.target), visit)

    def _visits(self, work: _Work) -> Iterator[Visit[_Work]]:
        """A visit for each due photo; one with an unusable URL has its outcome at once."""
        for batch in work.store.plan.due.to_batches(max_chunksize=_ROWS_AT_A_TIME):
            rows = batch.to_pylist()
            stored = work.store.stored_rows([row["stored"] for row in rows])
            for row, known in zip(rows, stored, strict=True):
                photo_id, url, attempts = row["photo_id"], row["url"], row["attempts"]
                try:
                    start = with_size_suffix(parse_url(url), self._settings.size_suffix)
                except InvalidUrlError as error:
                    self._record(work, ManifestRow(photo_id, url, Status.INVALID_URL, error=str(error)[:300]))
                else:
                    yield Visit(work, photo_id, url, start, start, earlier_attempts=attempts, known=known)

    async def _visit_one_by_one(self) -> None:
        """A worker: take a photo (or an errand for its origin), see to it, take the next."""
        while (visit := await self._frontier.take()) is not None:
            if isinstance(visit, RobotsErrand):
                await self._read_robots(visit.visit)
                continue
            origin = origin_of(visit.target)
            if visit.owner.has_failed:
                self._frontier.release(origin)
            elif refusal := self._frontier.refusal(origin, visit.target):
                self._frontier.release(origin)
                self._record(visit.owner, outcome_row(visit, None, refusal, self._now()))
            else:
                await self._ask(visit, origin)

    async def _ask(self, visit: Visit[_Work], origin: str) -> None:
        """Make one request and act on what it brought."""
        with self._budget.lease() as lease:
            asked = self._loop.time()
            reply = await self._fetcher.request(visit.target, lease, _validators(visit))
            self._count(visit.owner, origin, reply, self._loop.time() - asked)
            await self._act(visit, origin, reply)

    async def _act(self, visit: Visit[_Work], origin: str, reply: Reply) -> None:
        """Take the step that follows from a reply."""
        jitter = random.random()  # noqa: S311 it spreads retries, no secret
        step = decide(visit, reply, self._settings, jitter)
        self._frontier.answered(origin, reply, step.hold_seconds, jitter)
        if isinstance(step, Again):
            self._frontier.add(origin_of(step.visit.target), step.visit, step.wait_seconds)
        elif step.status is Status.OK:
            await self._store_photo(visit, reply, step)
        else:
            self._record(visit.owner, outcome_row(visit, reply, step, self._now()))

    async def _read_robots(self, visit: Visit[str]) -> None:
        """Make one request for a robots.txt and act on what it brought; its owner's photos wait for the rules."""
        origin = origin_of(visit.target)
        if postponement := self._frontier.postponement(origin):
            self._frontier.release(origin)
            self._frontier.learn(visit.owner, rules_from(postponement))
            return
        with self._budget.lease() as lease:
            reply = await self._fetcher.request(visit.target, lease, start_only=MAX_ROBOTS_BYTES)
        jitter = random.random()  # noqa: S311 as in _act
        step = decide(visit, reply, robots_settings(self._settings), jitter)
        self._frontier.answered(origin, reply, step.hold_seconds, jitter)
        if isinstance(step, Again):
            self._frontier.add_errand(origin_of(step.visit.target), RobotsErrand(step.visit), step.wait_seconds)
        else:
            rules = await asyncio.to_thread(rules_from, step, reply.body, self._settings.product_token)
            self._frontier.learn(visit.owner, rules)

    async def _store_photo(self, visit: Visit[_Work], reply: Reply, outcome: Outcome) -> None:
        """Decode a body in a thread and record the picture, or why it is none; one that is stored already stays."""
        if visit.known and (reply.is_unchanged or await self._is_known(visit.known, reply.body)):
            self._record(visit.owner, unchanged_row(visit, visit.known, reply, self._now()))
            return
        try:
            picture = await self._loop.run_in_executor(self._threads, store_picture, reply.body, self._settings)
        except RefusedPictureError as refusal:
            self._record(visit.owner, outcome_row(visit, reply, refusal, self._now()))
        else:
            self._record(visit.owner, outcome_row(visit, reply, outcome, self._now(), picture), picture.jpeg)

    async def _is_known(self, known: ManifestRow, body: bytes) -> bool:
        """Whether a body is the one that the stored picture was made from."""
        digest = await self._loop.run_in_executor(self._threads, hashlib.sha256, body)
        return digest.hexdigest() == known.source_sha256

    def _count(self, work: _Work, origin: str, reply: Reply, seconds: float) -> None:
        for tally in (work.tally, self._tally):
            tally.count_request(origin, reply.bytes_received, seconds)

    def _record(self, work: _Work, row: ManifestRow, jpeg: bytes | None = None) -> None:
        """Keep an outcome; the last one finishes its bucket."""
        if work.has_failed:
            return
        try:
            work.store.record(row, jpeg)
        except OSError as error:
            self._fail(work, error)
            return
        origin = origin_of(URL(row.final_url)) if row.final_url else None
        for tally in (work.tally, self._tally):
            tally.count_outcome(origin, row.status)
        self._num_done += 1
        work.num_left -= 1
        if not work.num_left:
            self._start(self._finish(work))

    async def _finish(self, work: _Work) -> None:
        """Put a bucket's manifest in place and hand out its result."""
        try:
            manifest, has_changed = await asyncio.to_thread(work.store.finish)
        except Exception as error:  # noqa: BLE001 as in _feed
            self._fail(work, error)
            return
        self._in_work.discard(work)
        self._finished.put_nowait(self._result(work, manifest, has_changed=has_changed))

    def _fail(self, work: _Work, error: Exception) -> None:
        """Give a bucket up for this crawl; what is recorded of it stays for the next."""
        if work.has_failed:
            return
        work.has_failed = True
        self._num_done += work.num_left
        self._finished.put_nowait(self._result(work, None, has_changed=False, error=error))

    def _result(
        self, work: _Work, manifest: pa.Table | None, *, has_changed: bool, error: Exception | None = None
    ) -> BucketResult:
        count, key = work.tally.total, work.store.bucket.key
        seconds, origins = self._loop.time() - work.opened, work.tally.origins()
        return BucketResult(key, manifest, count.requests, count.bytes_received, has_changed, error, seconds, origins)

    async def _sync_regularly(self) -> None:
        """About every second: what is recorded goes to the disk, how far the crawl is goes to whoever watches."""
        while True:
            await asyncio.sleep(_SYNC_SECONDS)
            for work in [work for work in self._in_work if not work.has_failed]:
                try:
                    await asyncio.to_thread(work.store.sync)
                except OSError as error:
                    self._fail(work, error)
            self._report()

    def _report(self) -> None:
        if self._on_progress is None:
            return
        self._on_progress(
            CrawlProgress(
                seconds=self._loop.time() - self._started,
                photos_total=self._num_listed,
                photos_done=self._num_done,
                buckets_total=len(self._buckets),
                buckets_done=self._num_finished,
                requests=self._tally.total.requests,
                bytes_received=self._tally.total.bytes_received,
                outcomes=dict(self._tally.total.outcomes),
                origins=self._tally.origins(),
                buckets=self._buckets_in_work(),
            )
        )

    def _buckets_in_work(self) -> tuple[BucketProgress, ...]:
        open_first = sorted(self._in_work, key=lambda work: work.opened)
        return tuple(work.progress() for work in open_first if not work.has_failed)


def _validators(visit: Visit[_Work]) -> Validators | None:
    """What is known of the version at the URL that is asked next, if that is where a stored photo came from."""
    known = visit.known
    if known is None or str(visit.target) != known.final_url:
        return None
    return Validators(known.etag, known.last_modified)
