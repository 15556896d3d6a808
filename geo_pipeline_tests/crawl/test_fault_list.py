"""A long list of which four photos in ten meet a fault, over many origins: every outcome, in bounded time and memory.

The faults and their outcomes stand in fault_site.py. `pytest -s` shows the table.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from geo_pipeline import store
from geo_pipeline.crawl.photo import store_picture
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import MANIFEST
from geo_pipeline.shards.format import iterate_shard
from geo_pipeline.shards.reader import ShardReader
from geo_pipeline_tests.crawl import child
from geo_pipeline_tests.crawl.fault_site import (
    NUM_PICTURES,
    OF_ORIGINS,
    OF_PHOTOS,
    OF_URLS,
    PLACEHOLDER,
    RETRIES,
    Fault,
    photo,
)
from geo_pipeline_tests.crawl.site_process import SiteProcess, site

NUM_PHOTOS, NUM_FAULTS = 2000, 800
NUM_SHARED, NUM_OWN = 100, 2
"""Origins with photos of every kind, and origins of each fault that speaks of a whole origin."""

EACH = 8
"""Photos of each fault that stands in the list or speaks of an origin, or that takes long."""

LATE_SECONDS = 0.05
"""Requests that a server sees so soon after it has asked for silence were on their way."""


@dataclass(frozen=True)
class Listed:
    """A row of the list: its URL, and the fault that it will meet (None: a good photo)."""

    url: str
    name: str = "good"
    fault: Fault | None = None


def fault_list(web: SiteProcess) -> list[Listed]:
    """The list, in an order in which neighbours have different origins and fates.

    An origin shared by many photos has at most one whose tries look like a failing host, so that no breaker opens.
    """
    shared, own = web.ports[:NUM_SHARED], iter(web.ports[NUM_SHARED:])
    numbers = itertools.count()
    rows = []
    for name, fault in OF_ORIGINS.items():
        for port in itertools.islice(own, NUM_OWN):
            rows += [Listed(f"http://127.0.0.1:{port}/{name}/{next(numbers)}.jpg", name, fault) for _ in range(EACH)]
    for url, fault in OF_URLS.items():
        places = {"canary": web.canary, "dead": web.dead, "port": shared[0]}
        rows += [Listed(url.format(number=next(numbers), **places), url, fault) for _ in range(EACH)]
    straining = [name for name, fault in OF_PHOTOS.items() if fault.strains] * EACH
    assert len(straining) <= len(shared)
    others = itertools.cycle(name for name, fault in OF_PHOTOS.items() if not fault.strains)
    names = straining + list(itertools.islice(others, NUM_FAULTS - len(rows) - len(straining)))
    for name, port in zip(names, itertools.cycle(shared)):
        rows.append(Listed(f"http://127.0.0.1:{port}/{name}/{next(numbers)}.jpg", name, OF_PHOTOS[name]))
    good = good_list(web, NUM_PHOTOS - len(rows), first=len(rows))
    return random.Random(0).sample(rows + good, NUM_PHOTOS)  # noqa: S311 an order


def good_list(web: SiteProcess, count: int, first: int = 0) -> list[Listed]:
    places = zip(itertools.count(first), itertools.cycle(web.ports[:NUM_SHARED]), range(count))
    return [Listed(f"http://127.0.0.1:{port}/good/{number}.jpg") for number, port, _ in places]


def settings_of(web: SiteProcess) -> CrawlSettings:
    """The defaults, but for the deadline; a setting of a later rule that this list must know goes here."""
    return CrawlSettings(
        timeout_seconds=10.0,
        retries=RETRIES,
        allow_origins=tuple(f"127.0.0.1:{port}" for port in (*web.ports, web.dead)),
        placeholder_sha256=(hashlib.sha256(PLACEHOLDER).hexdigest(),),
    )


@dataclass(frozen=True)
class Crawled:
    """What a crawl in a child process left and cost."""

    directory: Path
    rows: list[dict[str, Any]]
    requests: int
    seconds: float
    peak_mb: float


def crawl(web: SiteProcess, listed: list[Listed], directory: Path) -> Crawled:
    urls = {str(number): row.url for number, row in enumerate(listed)}
    process = child.start(urls, directory, settings_of(web))
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    rows = store.read_table(directory / MANIFEST).to_pylist()
    return Crawled(directory, rows, **json.loads(output))


def outcome_table(listed: list[Listed], rows: list[dict[str, Any]]) -> str:
    """For each fault what was expected, what came, and the tries."""
    lines = [f"{'fault':54} {'expected':16} {'got':34} {'tries':6} count"]
    groups: dict[str, list[int]] = {}
    for number, row in enumerate(listed):
        groups.setdefault(row.name, []).append(number)
    for name, members in sorted(groups.items(), key=lambda group: (listed[group[1][0]].fault is not None, group[0])):
        fault = listed[members[0]].fault or Fault("ok")
        got = Counter(rows[number]["status"] for number in members)
        tries = sorted({rows[number]["attempts"] for number in members})
        shown = ", ".join(f"{status} {count}" for status, count in got.items())
        span = f"{tries[0]}-{tries[-1]}" if len(tries) > 1 else str(tries[0])
        lines.append(f"{name[:54]:54} {fault.expected:16} {shown:34} {span:6} {len(members)}")
    return "\n".join(lines)


def wrong(listed: Listed, row: dict[str, Any]) -> bool:
    fault = listed.fault or Fault("ok")
    if row["status"] in fault.others:
        return False
    return row["status"] != fault.expected or (fault.tries is not None and row["attempts"] != fault.tries)


def violations(report: dict[str, Any]) -> list[tuple[int, float, str]]:
    """Requests that came to an origin while it had asked for silence."""
    return [
        (port, at - asked_at, path)
        for held, asked_at, until in report["holds"]
        for port, at, path in report["requests"]
        if port == held and asked_at + LATE_SECONDS < at < until
    ]


def check_store(crawled: Crawled, listed: list[Listed]) -> None:
    """Every stored photo lies where the manifest says, and nothing else lies there."""
    reader, num_stored = ShardReader(crawled.directory), 0
    expected = [store_picture(photo(number), CrawlSettings()).image_sha256 for number in range(NUM_PICTURES)]
    for row, meant in zip(crawled.rows, listed, strict=True):
        assert row["url"] == meant.url
        assert (row["shard"] is not None) == (row["status"] == "ok")
        if row["status"] == "ok":
            num_stored += 1
            photo_id, image = reader.record(row["shard"], row["offset"], row["length"])
            assert (photo_id, hashlib.sha256(image).hexdigest()) == (row["photo_id"], row["image_sha256"])
            if meant.name == "good":
                number = int(meant.url.rpartition("/")[2].removesuffix(".jpg"))
                assert row["image_sha256"] == expected[number % NUM_PICTURES]
    assert sum(1 for path in crawled.directory.glob("*.msg") for _ in iterate_shard(path)) == num_stored


@pytest.mark.slow
def test_every_fault_has_its_outcome_and_harms_nothing_else(tmp_path: Path) -> None:
    with site(NUM_SHARED + NUM_OWN * len(OF_ORIGINS)) as web:
        listed = fault_list(web)
        clean = crawl(web, good_list(web, NUM_PHOTOS), tmp_path / "clean")
        faulty = crawl(web, listed, tmp_path / "faulty")
    assert len(listed) == NUM_PHOTOS
    assert sum(row.fault is not None for row in listed) == NUM_FAULTS
    late = violations(web.report)
    print(f"\n{outcome_table(listed, faulty.rows)}\n")  # noqa: T201 to be shown
    hosts = {urlsplit(row.url).netloc for row in listed if row.url.startswith("http://127.0.0.1")}
    print(  # noqa: T201 as above
        f"{len(hosts)} origins, {faulty.requests} requests in {faulty.seconds:.0f} s "
        f"({clean.seconds:.0f} s without faults), peak memory {faulty.peak_mb:.0f} MB "
        f"({clean.peak_mb:.0f} MB without), {len(web.report['holds'])} Retry-After, {len(late)} violations, "
        f"{web.report['canary']} at the canary"
    )
    assert {row["status"] for row in clean.rows} == {"ok"}
    assert [(row.name, got) for row, got in zip(listed, faulty.rows, strict=True) if wrong(row, got)] == []
    assert len(web.report["holds"]) > NUM_OWN * EACH
    assert late == []
    assert web.report["canary"] == 0
    check_store(faulty, listed)
    assert faulty.seconds < 180
    assert faulty.peak_mb < 1.05 * clean.peak_mb
