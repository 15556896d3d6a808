"""What an origin is owed, by a fake clock."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from geo_pipeline.crawl.decisions import Outcome, backoff_seconds
from geo_pipeline.crawl.fetching import Reply
from geo_pipeline.crawl.politeness import QUICK_SECONDS, TROUBLE_FAILURES, Origin
from geo_pipeline.crawl.robots import Rules
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.shards.manifest import Status

PHOTO = URL("http://a/1.jpg")
FAILING = [Status.TIMEOUT, Status.CONNECTION, Status.SERVER_ERROR]


def origin(**changes: Any) -> Origin:
    return Origin("http://a:80", CrawlSettings(**{"per_host": 4, "respect_robots": False, **changes}))


def reply(status: Status = Status.OK, http_status: int | None = 200, latency: float | None = 0.0) -> Reply:
    return Reply(PHOTO, status, http_status=http_status, latency_seconds=latency)


def start_times(asked: Origin, count: int, now: float = 0.0) -> list[float]:
    """When requests start if they are made as soon as they may be."""
    times = []
    for _ in range(count):
        now = asked.may_be_asked_at(now)
        assert asked.refusal(PHOTO, now) is None
        asked.start(now)
        times.append(now)
    return times


answers = st.tuples(
    st.sampled_from([200, 200, 200, 304, 404, 403, 429, 500, 301]),
    st.floats(0.0, 600.0) | st.none(),
)


@given(history=st.lists(answers), per_host=st.integers(1, 16), longest=st.floats(0.0, 50.0))
def test_the_delay_is_the_published_rule_and_errors_never_speed_up(
    history: list[tuple[int, float | None]], per_host: int, longest: float
) -> None:
    asked = origin(per_host=per_host, max_delay_seconds=longest)
    expected = 0.0
    for code, latency in history:
        asked.answered(reply(Status.EMPTY, code, latency), 0.0, 0.5)
        if latency is not None:
            target = latency / per_host
            new = max(target, (expected + target) / 2.0)
            if code in (200, 304) or new > expected:
                expected = min(new, longest)
        assert asked.delay == pytest.approx(expected)
        assert 0 <= asked.delay <= longest


def test_an_adaptive_delay_can_be_turned_off_and_never_makes_photos_wait_for_another_crawl() -> None:
    never, short = origin(adaptive_delay=False), origin(max_retry_wait_seconds=1.0)
    for asked in (never, short):
        asked.answered(reply(latency=500.0), 0.0, 0.5)
    assert (never.delay, short.delay) == (0.0, 1.0)
    assert start_times(short, 3) == pytest.approx([0, 1, 2], abs=0.01)


@given(st.lists(st.floats(0.0, 4 * QUICK_SECONDS * 0.999), min_size=1))
def test_a_quick_server_is_not_slowed(latencies: list[float]) -> None:
    asked = origin(per_host=4)
    for latency in latencies:
        asked.answered(reply(latency=latency), 0.0, 0.5)
    assert start_times(asked, 100) == [0.0] * 100


@given(latency=st.floats(0.021, 30.0), count=st.integers(2, 200))
def test_a_slow_server_is_asked_at_the_rate_at_which_it_answers(latency: float, count: int) -> None:
    asked = origin(per_host=4)
    asked.answered(reply(latency=latency), 0.0, 0.5)
    times = start_times(asked, count)
    assert times[-1] == pytest.approx((count - 1) * latency / 4, abs=0.003)
    assert min(after - before for before, after in pairwise(times)) >= latency / 4 - 0.003


@given(st.lists(st.sampled_from([*FAILING, Status.OK, Status.NOT_FOUND, Status.TRUNCATED, Status.THROTTLED])))
def test_the_breaker_opens_after_so_many_failures_in_a_row_and_only_then(history: list[Status]) -> None:
    asked = origin(breaker_failures=3)
    for status in history:
        if asked.broken_until > 0:
            break
        asked.answered(reply(status, None, None), 0.0, 0.5)
    runs = [len(list(run)) for is_failing, run in groupby(history, lambda status: status in FAILING) if is_failing]
    assert (asked.broken_until > 0) == any(run >= 3 for run in runs)


def test_a_broken_origin_defers_until_its_pause_is_over_then_tries_one_at_a_time_until_a_success() -> None:
    asked = origin(breaker_failures=3, breaker_pause_seconds=100.0)
    failure = reply(Status.TIMEOUT, None, None)
    for _ in range(3):
        asked.answered(failure, 0.0, 0.5)
    assert asked.may_be_asked_at(40.0) == 40.0
    assert asked.refusal(PHOTO, 40.0) == Outcome(
        Status.DEFERRED, "its origin failed 3 times in a row", pause_seconds=60.0
    )
    asked.answered(failure, 50.0, 0.5)  # asked for before it opened: no longer pause for that
    assert asked.refusal(PHOTO, 100.0) is None
    assert asked.limit == 1
    asked.answered(failure, 120.0, 0.5)
    refusal = asked.refusal(PHOTO, 121.0)
    assert refusal is not None
    assert refusal.pause_seconds == 99.0
    asked.answered(reply(), 220.0, 0.5)
    assert asked.refusal(PHOTO, 220.0) is None
    assert asked.limit == 4


def test_a_breaker_can_be_turned_off() -> None:
    asked = origin(breaker_failures=0)
    for _ in range(1000):
        asked.answered(reply(Status.CONNECTION, None, None), 0.0, 0.5)
    assert asked.refusal(PHOTO, 0.0) is None
    assert asked.limit == 4


def test_each_round_of_429_without_retry_after_doubles_the_silence_of_the_origin() -> None:
    asked, now = origin(), 0.0
    throttled = reply(Status.THROTTLED, 429)
    for round_number in range(1, 5):
        asked.answered(throttled, now, 0.5)
        silence = asked.may_be_asked_at(now) - now
        assert silence == pytest.approx(backoff_seconds(round_number, asked.settings, 0.5))
        asked.answered(throttled, now + silence / 2, 0.9)  # was in flight already and says nothing new
        assert asked.may_be_asked_at(now) - now == silence
        now += silence
    asked.answered(reply(), now, 0.5)
    asked.answered(throttled, now, 0.5)
    assert asked.may_be_asked_at(now) - now == backoff_seconds(1, asked.settings, 0.5)


def test_server_errors_silence_the_origin_once_there_are_several_in_a_row() -> None:
    asked = origin()
    for number in range(1, TROUBLE_FAILURES + 1):
        assert asked.may_be_asked_at(0.0) == 0.0
        asked.answered(reply(Status.SERVER_ERROR, 500), 0.0, 0.5)
        assert (asked.may_be_asked_at(0.0) > 0) == (number == TROUBLE_FAILURES)


def test_a_crawl_delay_is_a_least_delay_with_one_connection() -> None:
    asked = origin()
    asked.learn(Rules(crawl_delay=3.0), 0.0)
    assert asked.limit == 1
    assert start_times(asked, 4) == [0, 3, 6, 9]
    asked.answered(reply(latency=40.0), 9.0, 0.5)
    assert start_times(asked, 2, now=9.0) == pytest.approx([19, 29], abs=0.01)


def test_a_crawl_delay_longer_than_a_crawl_waits_is_kept_by_later_crawls() -> None:
    asked = origin(max_retry_wait_seconds=60.0)
    asked.learn(Rules(crawl_delay=3600.0), 0.0)
    assert start_times(asked, 1) == [0.0]
    assert asked.may_be_asked_at(10.0) == 10.0
    assert asked.refusal(PHOTO, 10.0) == Outcome(
        Status.DEFERRED, "its origin asks for a longer delay", pause_seconds=3590.0
    )


def test_known_rules_outlive_a_robots_txt_that_cannot_be_read_and_unknown_ones_close_the_origin() -> None:
    closed = Rules(unreachable=Outcome(Status.DEFERRED, "503", pause_seconds=60.0), valid_seconds=600.0)
    known, unknown = origin(respect_robots=True), origin(respect_robots=True)
    assert known.needs_rules(0.0)
    known.learn(Rules(), 0.0)
    assert known.needs_rules(86_400.0)
    for asked in (known, unknown):
        asked.learn(closed, 86_400.0)
        assert not asked.needs_rules(86_999.0)
        assert asked.needs_rules(87_000.0)
    assert known.refusal(PHOTO, 86_500.0) is None
    assert unknown.refusal(PHOTO, 86_500.0) == closed.unreachable
