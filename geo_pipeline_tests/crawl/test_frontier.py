"""The queue: limits, holds, delays, errands and order, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from geo_pipeline.crawl import frontier as frontier_module
from geo_pipeline.crawl.decisions import Again, Visit, decide
from geo_pipeline.crawl.fetching import Reply
from geo_pipeline.crawl.frontier import Frontier
from geo_pipeline.crawl.robots import RobotsErrand, Rules, robots_errand
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.shards.manifest import Status
from geo_pipeline_tests.crawl.virtual_time import now, run

PHOTO = URL("http://a/1.jpg")
ORIGINS = ("http://a:80", "http://b:80", "http://c:80")
OK = Reply(PHOTO, Status.OK, http_status=200, latency_seconds=0.0)

Photos = Frontier[str | RobotsErrand]


def frontier(capacity: int = 100, **changes: Any) -> Photos:
    settings = {"per_host": 2, "max_retry_wait_seconds": 1.0, "respect_robots": False, **changes}
    return Frontier(CrawlSettings(**settings), capacity=capacity, errand=robots_errand, clock=now)


async def blocks(waiting: Coroutine[Any, Any, object]) -> bool:
    try:
        await asyncio.wait_for(waiting, 0.03)
    except TimeoutError:
        return True
    return False


def test_an_origin_has_at_most_its_share_of_requests_in_flight() -> None:
    async def scenario() -> None:
        queue = frontier(per_host=2)
        for number in range(3):
            queue.add("a", f"a{number}")
        queue.add("b", "b0")
        assert sorted([str(await queue.take()) for _ in range(3)]) == ["a0", "a1", "b0"]
        assert await blocks(queue.take())
        queue.release("a")
        assert await queue.take() == "a2"

    run(scenario())


def test_a_held_origin_waits_while_others_go_on() -> None:
    async def scenario() -> None:
        queue = frontier()
        queue.hold("a", 0.1)
        queue.add("a", "held")
        queue.add("b", "free")
        assert (await queue.take(), now()) == ("free", 0.0)
        assert await queue.take() == "held"
        assert 0.1 <= now() < 0.11
        assert queue.refusal("a", PHOTO) is None

    run(scenario())


def test_a_hold_reaches_photos_that_were_in_line_already_and_the_longest_one_counts() -> None:
    async def scenario() -> None:
        queue = frontier()
        queue.add("a", "first")
        queue.hold("a", 0.1)
        queue.hold("a", 0.02)
        assert await queue.take() == "first"
        assert now() >= 0.1

    run(scenario())


def test_photos_of_an_origin_held_beyond_the_longest_wait_come_at_once_to_be_deferred() -> None:
    async def scenario() -> None:
        queue = frontier(max_retry_wait_seconds=1.0)
        queue.hold("a", 3600)
        queue.add("a", "late")
        assert (await queue.take(), now()) == ("late", 0.0)
        refusal = queue.refusal("a", PHOTO)
        assert refusal is not None
        assert (refusal.status, refusal.pause_seconds) == (Status.DEFERRED, 3600)

    run(scenario())


def test_a_postponed_photo_comes_after_its_wait_and_holds_up_nobody() -> None:
    async def scenario() -> None:
        queue = frontier()
        queue.add("a", "later", wait_seconds=0.08)
        queue.add("a", "latest", wait_seconds=0.12)
        queue.add("a", "now")
        assert (await queue.take(), now()) == ("now", 0.0)
        assert await queue.take() == "later"
        assert 0.08 <= now() < 0.12
        queue.release("a")
        queue.release("a")
        assert await queue.take() == "latest"
        assert now() >= 0.12

    run(scenario())


def test_there_is_room_only_below_the_capacity() -> None:
    async def scenario() -> None:
        queue = frontier(capacity=2)
        for name in ("1", "2"):
            await queue.room()
            queue.add("a", name)
        assert await blocks(queue.room())
        await queue.take()
        assert not await blocks(queue.room())

    run(scenario())


def test_a_taker_that_is_cancelled_in_its_turn_leaves_the_turn_to_another() -> None:
    async def scenario() -> None:
        queue = frontier()
        first, second = (asyncio.ensure_future(queue.take()) for _ in range(2))
        await asyncio.sleep(0)
        queue.add("a", "only")
        first.cancel()
        assert await asyncio.wait_for(second, 1) == "only"

    run(scenario())


def test_closing_lets_every_taker_go() -> None:
    async def scenario() -> None:
        queue = frontier()
        takers = [asyncio.ensure_future(queue.take()) for _ in range(5)]
        await asyncio.sleep(0)
        queue.close()
        assert await asyncio.gather(*takers) == [None] * 5

    run(scenario())


def test_photos_wait_for_the_rules_of_their_origin_and_others_go_on() -> None:
    async def scenario() -> None:
        queue = frontier(respect_robots=True)
        for name in ("a0", "a1"):
            queue.add(ORIGINS[0], name)
        errand = await queue.take()
        assert isinstance(errand, RobotsErrand)
        assert str(errand.visit.target) == "http://a/robots.txt"
        assert await blocks(queue.take())
        queue.answered(ORIGINS[0], OK, 0.0, 0.5)
        assert await blocks(queue.take())  # it may have been redirected: the answer alone is no rules
        queue.learn(ORIGINS[0], Rules())
        assert [await queue.take(), await queue.take()] == ["a0", "a1"]

    run(scenario())


def test_rules_are_read_again_after_their_day_and_not_before() -> None:
    async def scenario() -> None:
        queue = frontier(respect_robots=True)
        taken = []
        for hour in range(50):
            await asyncio.sleep(3600 * hour - now())
            queue.add(ORIGINS[0], "photo")
            while (item := await queue.take()) != "photo":
                assert isinstance(item, RobotsErrand)
                taken.append(hour)
                queue.answered(ORIGINS[0], OK, 0.0, 0.5)
                queue.learn(ORIGINS[0], Rules())
            queue.release(ORIGINS[0])
        assert taken == [0, 24, 48]

    run(scenario())


def test_what_is_known_of_idle_origins_is_bounded_and_holds_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontier_module, "IDLE_BYTES", 50_000)

    async def scenario() -> None:
        queue = frontier()
        queue.hold("held", 3600)
        for number in range(500):
            queue.add(f"o{number}", "photo")
            await queue.take()
            queue.release(f"o{number}")
        assert len(queue._lines) <= 51
        queue.add("held", "late")
        assert await queue.take() == "late"
        assert queue.refusal("held", PHOTO) is not None

    run(scenario())


@dataclass
class Site:
    """An origin as a server sees it: what it has promised or asked for, and whether it is kept."""

    answers: list[Reply]
    most: int
    crawl_delay: float
    in_flight: int = 0
    silent_until: float = 0.0
    last_start: float = -1e9
    has_told_rules: bool = False
    complaints: list[str] = field(default_factory=list)

    async def ask(self, *, is_for_robots: bool) -> Reply:
        self.in_flight += 1
        limit = 1 if self.crawl_delay or not self.has_told_rules else self.most
        if self.in_flight > limit:
            self.complaints.append(f"{self.in_flight} requests at once")
        if now() < self.silent_until:
            self.complaints.append(f"asked {self.silent_until - now()} seconds too early")
        if now() < self.last_start + self.crawl_delay - 1e-6:
            self.complaints.append(f"asked {now() - self.last_start} seconds after the request before")
        if not is_for_robots and not self.has_told_rules:
            self.complaints.append("asked for a photo without its rules")
        self.last_start = now()
        reply = OK if is_for_robots or not self.answers else self.answers.pop()
        await asyncio.sleep(reply.latency_seconds or 0.3)
        self.in_flight -= 1
        self.has_told_rules = True
        if reply.retry_after:
            self.silent_until = max(self.silent_until, now() + reply.retry_after)
        return reply


def answer(status: Status, latency_seconds: float, retry_after: float | None = None) -> Reply:
    http_status = {Status.OK: 200, Status.NOT_FOUND: 404, Status.THROTTLED: 429, Status.SERVER_ERROR: 503}.get(status)
    return Reply(
        PHOTO, status, http_status=http_status, latency_seconds=http_status and latency_seconds, retry_after=retry_after
    )


latencies = st.sampled_from([0.001, 0.05, 0.4, 3.0])
replies = st.one_of(
    st.builds(answer, st.sampled_from([Status.OK, Status.NOT_FOUND, Status.TIMEOUT]), latencies),
    st.builds(
        answer,
        st.sampled_from([Status.THROTTLED, Status.SERVER_ERROR]),
        latencies,
        st.sampled_from([None, 1.0, 5.0, 50.0]),
    ),
)
sites = st.builds(Site, st.lists(replies, max_size=30), st.just(3), st.sampled_from([0.0, 0.0, 2.0]))


@given(crowd=st.lists(sites, min_size=1, max_size=3), num_photos=st.integers(1, 30), num_workers=st.integers(1, 12))
def test_whatever_servers_answer_every_photo_ends_and_no_origin_has_a_complaint(
    crowd: list[Site], num_photos: int, num_workers: int
) -> None:
    settings = CrawlSettings(per_host=3, retries=1, max_retry_wait_seconds=10.0, breaker_failures=6)
    ended: Counter[str] = Counter()
    visits: dict[str, Visit[str]] = {}

    async def scenario() -> None:
        queue: Photos = Frontier(settings, capacity=1000, errand=robots_errand, clock=now)
        by_origin = dict(zip(ORIGINS, crowd, strict=False))

        async def work() -> None:
            while (item := await queue.take()) is not None:
                if isinstance(item, RobotsErrand):
                    origin = item.visit.owner
                    assert queue.postponement(origin) is None
                    queue.answered(origin, await by_origin[origin].ask(is_for_robots=True), 0.0, 0.5)
                    queue.learn(origin, Rules(crawl_delay=by_origin[origin].crawl_delay))
                    continue
                origin, _, _ = item.partition(" ")
                if queue.refusal(origin, PHOTO):
                    queue.release(origin)
                else:
                    reply = await by_origin[origin].ask(is_for_robots=False)
                    step = decide(visits.get(item, robots_errand(origin).visit), reply, settings, 0.5)
                    queue.answered(origin, reply, step.hold_seconds, 0.5)
                    if isinstance(step, Again):
                        visits[item] = step.visit
                        queue.add(origin, item, step.wait_seconds)
                        continue
                ended[item] += 1
                if len(ended) == len(by_origin) * num_photos:
                    queue.close()

        workers = [asyncio.ensure_future(work()) for _ in range(num_workers)]
        for number in range(num_photos):
            for origin in by_origin:
                queue.add(origin, f"{origin} {number}")
        await asyncio.gather(*workers)

    run(scenario())
    assert [site.complaints for site in crowd] == [[]] * len(crowd)
    assert set(ended.values()) == {1}
    assert len(ended) == len(crowd) * num_photos


def test_many_takers_get_every_photo_exactly_once() -> None:
    async def scenario() -> None:
        queue, taken, most = frontier(per_host=3), Counter[str](), Counter[str]()
        in_flight = Counter[str]()

        async def work() -> None:
            while (item := await queue.take()) is not None:
                assert isinstance(item, str)
                taken[item] += 1
                origin = item[0]
                in_flight[origin] += 1
                most[origin] = max(most[origin], in_flight[origin])
                await asyncio.sleep(0)
                in_flight[origin] -= 1
                queue.release(origin)
                if taken[item] == 1 and item.endswith("7"):
                    queue.add(origin, item, wait_seconds=0.01)
                elif sum(taken.values()) == 440:
                    queue.close()

        workers = [asyncio.ensure_future(work()) for _ in range(20)]
        for number in range(100):
            for origin in "abcd":
                queue.add(origin, f"{origin}{number}")
        await asyncio.wait_for(asyncio.gather(*workers), 5)
        assert len(taken) == 400
        assert all(count == 1 + item.endswith("7") for item, count in taken.items())
        assert max(most.values()) == 3

    run(scenario())
