"""A crawl of thousands of photos at full speed that is killed again and again ends as one that was left alone."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from geo_pipeline import store
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import LEDGER, MANIFEST
from geo_pipeline.shards.format import iterate_shard
from geo_pipeline.shards.reader import ShardReader
from geo_pipeline_tests.crawl import child
from geo_pipeline_tests.crawl.site_process import site

NUM_PHOTOS, NUM_KILLS, SEED = 6000, 5, 4
CONCURRENCY = 32


def stored(directory: Path) -> dict[str, str]:
    """Hash of the stored picture by photo id, after comparing manifest and shards byte by byte."""
    rows = store.read_table(directory / MANIFEST).to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    reader = ShardReader(directory)
    for row in rows:
        photo_id, image = reader.record(row["shard"], row["offset"], row["length"])
        assert (photo_id, hashlib.sha256(image).hexdigest()) == (row["photo_id"], row["image_sha256"])
    in_shards = [record.photo_id for path in directory.glob("*.msg") for record in iterate_shard(path)]
    assert sorted(in_shards) == sorted(row["photo_id"] for row in rows)
    assert {path.name for path in directory.iterdir()} == {MANIFEST, *(row["shard"] for row in rows)}
    return {row["photo_id"]: row["image_sha256"] for row in rows}


def check_interrupted(directory: Path) -> int:
    """How many photos a killed crawl has recorded; each one lies whole where the ledger says."""
    assert not (directory / MANIFEST).exists()
    if not (directory / LEDGER).exists():
        return 0
    *lines, _cut_or_empty = (directory / LEDGER).read_bytes().split(b"\n")
    rows = [row for row in map(json.loads, lines) if "photo_id" in row]
    for row in rows:
        with (directory / row["shard"]).open("rb") as stream:
            stream.seek(row["offset"])
            record = stream.read(row["length"])
        assert len(record) == row["length"]
    assert len({row["photo_id"] for row in rows}) == len(rows)
    return len(rows)


def asked_again(requests: list[list[Any]], ends: list[float]) -> list[int]:
    """For each crawl but the first, how many of its photos had been asked for by one before."""
    before: set[str] = set()
    counts, start = [], 0.0
    for end in [*ends, float("inf")]:
        paths = [path for _, at, path in requests if start <= at < end and path != "/robots.txt"]
        assert len(paths) == len(set(paths))
        counts.append(len(before & set(paths)))
        before |= set(paths)
        start = end
    return counts[1:]


@pytest.mark.slow
def test_five_kills_at_random_moments_leave_the_store_of_an_undisturbed_crawl(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 moments
    with site(1) as web:
        urls = {str(number): f"http://127.0.0.1:{web.ports[0]}/good/{number}.jpg" for number in range(NUM_PHOTOS)}
        settings = CrawlSettings(
            concurrency=CONCURRENCY,
            per_host=CONCURRENCY,
            records_per_shard=700,
            allow_origins=(f"127.0.0.1:{web.ports[0]}",),
        )
        undisturbed = child.start(urls, tmp_path / "undisturbed", settings)
        seconds = json.loads(undisturbed.communicate(timeout=300)[0])["seconds"]
        begun, ends = time.time(), []
        directory = tmp_path / "killed"
        for _ in range(NUM_KILLS):
            moment = chance.uniform(0.08, 0.18) * seconds
            ends.append(kill_after(moment, child.start(urls, directory, settings)))
            print(f"killed after {moment:.2f} s, {check_interrupted(directory)} recorded")  # noqa: T201 to be shown
        last = child.start(urls, directory, settings)
        last.communicate(timeout=300)
    assert last.returncode == 0
    again = asked_again([request for request in web.report["requests"] if request[1] > begun], ends)
    print(f"asked again after each kill: {again}, {seconds:.1f} s undisturbed")  # noqa: T201 as above
    assert max(again) <= CONCURRENCY
    assert stored(directory) == stored(tmp_path / "undisturbed")


def kill_after(seconds: float, process: Any) -> float:
    """Kill a crawl so long after it began; the moment when it was dead."""
    assert process.stdout.readline() == b"\n"
    time.sleep(seconds)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    time.sleep(0.05)  # what was on its way has arrived
    return time.time()
