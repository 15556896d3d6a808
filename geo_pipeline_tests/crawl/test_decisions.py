"""The rules of retrying and redirecting."""

from __future__ import annotations

from dataclasses import replace

import pytest
from yarl import URL

from geo_pipeline.crawl.decisions import (
    MAX_PAUSE_SECONDS,
    Again,
    Outcome,
    Visit,
    backoff_seconds,
    decide,
    pause_seconds,
)
from geo_pipeline.crawl.fetching import Reply
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.shards.manifest import Status

SETTINGS = CrawlSettings(retries=2, backoff_seconds=1.0, max_retry_wait_seconds=30.0, max_redirects=3)
START = URL("http://a.example/1.jpg")
VISIT = Visit(None, "1", str(START), START, START)


def reply(status: Status, retry_after: float | None = None, location: str | None = None) -> Reply:
    return Reply(START, status, retry_after=retry_after, location=location)


@pytest.mark.parametrize("status", [s for s in Status if not s.is_retried])
def test_a_final_status_is_an_outcome_at_once_and_for_ever(status: Status) -> None:
    assert decide(VISIT, reply(status, retry_after=5), SETTINGS, 0.5) == Outcome(status)


@pytest.mark.parametrize("status", [Status.THROTTLED, Status.SERVER_ERROR, Status.TIMEOUT, Status.CONNECTION])
def test_a_passing_failure_is_tried_again_until_the_last_retry(status: Status) -> None:
    visit, tries = VISIT, 1
    while isinstance(step := decide(visit, reply(status), SETTINGS, 0.5), Again):
        visit, tries = step.visit, tries + 1
    assert (tries, step.status) == (1 + SETTINGS.retries, status)
    assert step.pause_seconds == SETTINGS.failure_pause_seconds


def test_a_short_retry_after_holds_the_origin_as_long_as_it_asks() -> None:
    step = decide(VISIT, reply(Status.THROTTLED, retry_after=7), SETTINGS, 0.0)
    assert isinstance(step, Again)
    assert step.hold_seconds == 7
    assert step.wait_seconds >= 7


def test_a_long_retry_after_defers_instead_of_waiting() -> None:
    step = decide(VISIT, reply(Status.THROTTLED, retry_after=86_400), SETTINGS, 0.0)
    assert step == Outcome(Status.DEFERRED, pause_seconds=86_400, hold_seconds=86_400)


@pytest.mark.parametrize("status", [Status.THROTTLED, Status.SERVER_ERROR])
def test_without_retry_after_a_retry_waits_and_holds_nobody_else(status: Status) -> None:
    step = decide(VISIT, reply(status), SETTINGS, 0.5)
    assert isinstance(step, Again)
    assert step.hold_seconds == 0
    assert step.wait_seconds > 0


def test_back_off_doubles_has_jitter_and_a_limit() -> None:
    waits = [backoff_seconds(attempt, SETTINGS, 1.0) for attempt in range(1, 8)]
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert [backoff_seconds(attempt, SETTINGS, 0.0) for attempt in range(1, 8)] == [wait / 2 for wait in waits]


def test_the_pause_between_crawls_doubles_with_each_failed_crawl_up_to_a_limit() -> None:
    tries = SETTINGS.retries + 1
    pauses = [pause_seconds(replace(VISIT, earlier_attempts=tries * crawls), SETTINGS) for crawls in range(4)]
    assert pauses == [3600, 7200, 14_400, 28_800]
    assert pause_seconds(replace(VISIT, earlier_attempts=10_000), SETTINGS) == MAX_PAUSE_SECONDS


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/2.jpg", "http://a.example/2.jpg"),
        ("2.jpg?x=1", "http://a.example/2.jpg?x=1"),
        ("//b.example/2.jpg", "http://b.example/2.jpg"),
        ("https://b.example:8443/2.jpg#top", "https://b.example:8443/2.jpg"),
    ],
)
def test_a_redirect_is_followed_relative_to_its_place(location: str, target: str) -> None:
    step = decide(VISIT, reply(Status.REDIRECT_ERROR, location=location), SETTINGS, 0.5)
    assert isinstance(step, Again)
    assert (str(step.visit.target), step.visit.attempts, step.wait_seconds) == (target, 1, 0)


@pytest.mark.parametrize(
    "location", ["ftp://a.example/1.jpg", "file:///etc/passwd", "", "http://", "/1.jpg", "http://["]
)
def test_a_redirect_to_no_place_or_to_itself_is_an_error(location: str) -> None:
    step = decide(VISIT, reply(Status.REDIRECT_ERROR, location=location), SETTINGS, 0.5)
    assert isinstance(step, Outcome)
    assert step.status is Status.REDIRECT_ERROR


def test_a_chain_of_redirects_ends_at_its_limit_and_a_retry_starts_from_the_listed_url() -> None:
    visit = VISIT
    for hop in range(SETTINGS.max_redirects):
        step = decide(visit, reply(Status.REDIRECT_ERROR, location=f"/hop{hop}"), SETTINGS, 0.5)
        assert isinstance(step, Again)
        visit = step.visit
    assert decide(visit, reply(Status.REDIRECT_ERROR, location="/more"), SETTINGS, 0.5) == Outcome(
        Status.REDIRECT_ERROR, "more than 3 redirects"
    )
    retried = decide(visit, reply(Status.SERVER_ERROR), SETTINGS, 0.5)
    assert isinstance(retried, Again)
    assert (retried.visit.target, retried.visit.trail, retried.visit.attempts) == (START, (), 2)


def test_a_redirect_to_a_known_placeholder_is_not_followed() -> None:
    step = decide(VISIT, reply(Status.REDIRECT_ERROR, location="/images/photo_unavailable.gif"), SETTINGS, 0.5)
    assert isinstance(step, Outcome)
    assert step.status is Status.PLACEHOLDER
