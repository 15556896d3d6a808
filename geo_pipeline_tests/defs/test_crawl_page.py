"""What the page is told of a real crawl: while a bucket is in work, and when it is finished."""

from __future__ import annotations

import dagster as dg
import pytest

from geo_pipeline.crawl import engine
from geo_pipeline.defs import crawl_page
from geo_pipeline.defs.jobs import all_buckets_tags
from geo_pipeline.defs.progress import shown_progress
from geo_pipeline_tests.defs.project import Project

BUCKET = "world_train-000"


@pytest.fixture
def watched(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose crawls are reported many times a second."""
    monkeypatch.setattr(engine, "_SYNC_SECONDS", 0.02)
    for name in ("FIRST_SECONDS", "EVERY_SECONDS", "LONGEST_SECONDS"):
        monkeypatch.setattr(crawl_page, name, 0.0)
    return project


def observations(project: Project, bucket: str | None) -> list[dict[str, object]]:
    """The numbers and tables of the observations of a bucket, or of all together, in order."""
    records = project.instance.fetch_observations(dg.AssetKey("photo_shards"), limit=10_000, ascending=True).records
    logged = [record.asset_observation for record in records]
    return [
        {name: value.value for name, value in each.metadata.items()}
        for each in logged
        if each is not None and each.partition == bucket
    ]


def test_a_bucket_in_work_is_observed_with_its_partition(watched: Project) -> None:
    assert watched.crawl().success
    of_bucket, of_all = observations(watched, BUCKET), observations(watched, None)
    assert of_bucket
    assert of_all
    done = [int(str(each["photos_done"])) for each in of_bucket]
    assert done == sorted(done)
    last = of_bucket[-1]
    assert {"photos_total", "requests", "bytes_received", "photos_per_second", "outcome_ok", "slowest_hosts"} <= set(
        last
    )
    listed = watched.latest("url_lists", BUCKET).metadata["dagster/partition_row_count"].value
    assert last["photos_total"] == listed
    assert {"buckets_done", "buckets_total"} <= set(of_all[-1])
    assert of_all[-1]["photos_done"] == of_all[-1]["photos_total"]


def test_a_finished_bucket_says_what_came_of_it_by_host_and_how_fast(watched: Project) -> None:
    assert watched.crawl().success
    metadata = {name: value.value for name, value in watched.latest("photo_shards", BUCKET).metadata.items()}
    assert {"requests", "bytes_received", "photos_per_second", "seconds", "outcomes", "listed"} <= set(metadata)
    port = watched.profile.world.port if watched.profile.world else 0
    assert f"| 127.0.0.1:{port} |" in str(metadata["outcomes_by_host"])
    assert f"| 127.0.0.1:{port} |" in str(metadata["slowest_hosts"])


def test_the_terminal_shows_the_whole_crawl_and_not_each_bucket(watched: Project) -> None:
    lines: list[str] = []
    with shown_progress(watched.instance, lines.append) as tags:
        assert watched.run("crawl", tags=tags | all_buckets_tags(watched.profile)).success
    told = [line for line in lines if "photos_done" in line]
    assert len(told) == len(observations(watched, None))
