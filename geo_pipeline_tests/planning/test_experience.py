from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.planning.experience import (
    ASSUMED_DOWNLOAD_BYTES,
    ASSUMED_SECONDS_PER_REQUEST,
    active_seconds,
    assumed_stored_bytes,
    crawl_seconds,
    experience,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


def asked(urls: list[str], seconds: list[float], lengths: list[int | None]) -> pa.Table:
    return pa.table(
        {
            "url": urls,
            "fetched_at": pa.array([START + timedelta(seconds=s) for s in seconds], pa.timestamp("us", tz="UTC")),
            "bytes_received": [None if length is None else 4 * length for length in lengths],
            "length": pa.array(lengths, pa.int64()),
        }
    )


def simulated_seconds(origins: dict[str, int], settings: CrawlSettings) -> int:
    """Rounds of one second in which each photo takes one, the origins with most photos first: a crawl by hand."""
    left, rounds = dict(origins), 0
    while any(left.values()):
        free = settings.concurrency
        for origin in sorted(left, key=lambda name: -left[name]):
            taken = min(left[origin], settings.per_host, free)
            left[origin] -= taken
            free -= taken
        rounds += 1
    return rounds


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 60)), st.integers(1, 12), st.integers(1, 6))
def test_a_crawl_takes_about_as_long_as_one_played_by_hand(
    origins: dict[str, int], concurrency: int, per_host: int
) -> None:
    settings = CrawlSettings(concurrency=concurrency, per_host=per_host)
    by_hand = simulated_seconds(origins, settings)
    assert crawl_seconds(origins, settings, 1.0) <= by_hand <= crawl_seconds(origins, settings, 1.0) + len(origins) + 1


def test_pauses_between_crawls_are_no_work() -> None:
    seconds = [0.0, 1.0, 2.5, 86_400.0, 86_401.0]
    assert active_seconds(asked(["http://a/"] * 5, seconds, [1] * 5)["fetched_at"]) == pytest.approx(3.5)


def test_a_measured_rate_foretells_the_same_crawl() -> None:
    settings = CrawlSettings(concurrency=16, per_host=4)
    table = asked(["http://a/"] * 300 + ["http://b/"] * 100, [k / 20 for k in range(400)], [1000] * 399 + [None])
    learned = experience(table, table.slice(0, 399), settings)
    assert (learned.num_asked, learned.num_stored) == (400, 399)
    assert crawl_seconds({"http://a:80": 300, "http://b:80": 100}, settings, learned.seconds_per_request) == (
        pytest.approx(399 / 20)
    )
    assert learned.download_bytes == 4000
    assert learned.stored_bytes == 1000


def test_few_photos_say_nothing_about_the_rate() -> None:
    settings = CrawlSettings(image_size=320)
    few = asked(["http://a/"] * 20, [k / 20 for k in range(20)], [None] * 20)
    learned = experience(few, few.slice(0, 0), settings)
    assert learned.seconds_per_request == ASSUMED_SECONDS_PER_REQUEST
    assert (learned.download_bytes, learned.num_asked) == (ASSUMED_DOWNLOAD_BYTES, 0)
    assert (learned.stored_bytes, learned.num_stored) == (assumed_stored_bytes(320), 0)
    assert 30_000 < assumed_stored_bytes(320) < 60_000
