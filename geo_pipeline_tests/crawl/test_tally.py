"""Counting by origin against plain counters, and what a crawl reports of real servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.crawl import engine
from geo_pipeline.crawl.bucket import Bucket, CrawlProgress, crawl_buckets
from geo_pipeline.crawl.progress import OTHER_ORIGINS, OriginFigures, slowest_origins
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.tally import KEPT_ORIGINS, Tally
from geo_pipeline.shards.manifest import Status
from geo_pipeline_tests.crawl.servers import PhotoServer

REQUESTS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 10**6), st.integers(0, 100)), max_size=200)


def test_a_million_hosts_leave_some_hundreds_and_a_rest_and_the_busy_and_the_slow_ones_stay() -> None:
    tally = Tally()
    for number in range(20_000):
        tally.count_request(f"http://h{number}:80", 10, 0.01)
        tally.count_request("http://busy:80", 10, 0.02)
        if number % 1000 == 0:
            tally.count_request("http://slow:80", 10, 5.0)
        tally.count_outcome(f"http://h{number}:80", Status.GONE)
    origins = tally.origins()
    assert len(origins) <= 2 * KEPT_ORIGINS + 1
    assert (origins["http://busy:80"].requests, origins["http://slow:80"].requests) == (20_000, 20)
    assert sum(each.requests for each in origins.values()) == tally.total.requests == 40_020
    assert sum(each.outcomes.get(Status.GONE, 0) for each in origins.values()) == 20_000
    assert slowest_origins(origins, 1)[0][0] == "http://slow:80"


@settings(deadline=None)
@given(requests=REQUESTS)
def test_the_figures_of_few_origins_are_exact_and_the_sums_always(requests: list[tuple[int, int, int]]) -> None:
    tally, count, num_bytes = Tally(), Counter[str](), Counter[str]()
    for origin, received, seconds in requests:
        tally.count_request(str(origin), received, seconds)
        count[str(origin)] += 1
        num_bytes[str(origin)] += received
    assert {name: (each.requests, each.bytes_received) for name, each in tally.origins().items()} == {
        name: (count[name], num_bytes[name]) for name in count
    }


def test_the_slowest_are_named_origins_that_were_asked() -> None:
    figures = {
        OTHER_ORIGINS: OriginFigures(1, 0, 99.0, {}),
        "never": OriginFigures(0, 0, 0.0, {Status.OK: 1}),
        "quick": OriginFigures(10, 0, 1.0, {}),
        "slow": OriginFigures(2, 0, 1.0, {}),
    }
    assert [origin for origin, _ in slowest_origins(figures, 3)] == ["slow", "quick"]


def test_a_crawl_reports_origins_and_buckets_and_its_results_have_their_own(
    server: PhotoServer,
    make_bucket: Callable[..., Bucket],
    quick: Callable[..., CrawlSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "_SYNC_SECONDS", 0.02)
    with closing(PhotoServer()) as other:
        server.delay_seconds, other.delay_seconds = 0.01, 0.25
        server.answer("/photos/3.jpg", 404)
        patient = quick(server.origin, other.origin)
        first = make_bucket({str(n): server.url(f"/photos/{n}.jpg") for n in range(30)}, key="set-000")
        mixed = {f"o{n}": other.url(f"/photos/{n}.jpg") for n in range(20)} | {"bad": "nowhere"}
        second = make_bucket(mixed, key="set-001")
        reports: list[CrawlProgress] = []
        results = {each.key: each for each in crawl_buckets([first, second], patient, on_progress=reports.append)}
    here, there = f"http://{server.origin}", f"http://{other.origin}"
    assert results["set-000"].origins[here].outcomes == {Status.OK: 29, Status.NOT_FOUND: 1}
    assert results["set-001"].origins[there].requests == 20
    assert results["set-001"].origins[OTHER_ORIGINS].outcomes == {Status.INVALID_URL: 1}
    assert all(0 < result.seconds < 60 for result in results.values())
    last = reports[-1]
    assert (last.photos_asked, last.photos_left, last.buckets) == (51, 0, ())
    assert slowest_origins(last.origins, 1)[0][0] == there
    assert sum(each.bytes_received for each in last.origins.values()) == last.bytes_received
    running = [bucket for report in reports for bucket in report.buckets if bucket.key == "set-001"]
    assert running
    assert [bucket.photos_done for bucket in running] == sorted(bucket.photos_done for bucket in running)
    assert all(bucket.photos_done == bucket.photos_asked <= bucket.photos_total == 21 for bucket in running)
