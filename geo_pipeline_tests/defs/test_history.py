"""What Dagster's event log says of assets, and how few queries that takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as db

from geo_pipeline.defs.history import CODE_VERSION, DATA_VERSION, INPUT_POINTER, INPUT_VERSION, Event, History, Place
from geo_pipeline_tests.defs.project import Project

ONE_BUCKET, ANOTHER = "world_train-000", "world_train-001"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def log(instance: dg.DagsterInstance, place: Place, version: str, *, is_input: bool = False, **facts: object) -> Event:
    """Log an event of a place; the event as the history gives it."""
    kind = dg.AssetObservation if is_input else dg.AssetMaterialization
    tags = {DATA_VERSION: version}
    instance.report_runless_asset_event(kind(place.asset, partition=place.bucket, tags=tags, metadata=facts))
    return History(instance).latest(place.asset, is_input=is_input)[place]


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    """The statements that reach any database in the block."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            seen.append(statement)

    db.event.listen(db.Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        db.event.remove(db.Engine, "before_cursor_execute", note)


def test_what_was_never_made_has_no_event(instance: dg.DagsterInstance) -> None:
    history = History(instance)
    assert history.latest("photo_shards") == {}
    assert history.at(Place("photo_shards", ONE_BUCKET), 99) is None
    assert history.failure(Place("photo_shards", ONE_BUCKET)) is None


def test_the_last_event_counts_for_each_bucket_and_for_an_asset_without_any(instance: dg.DagsterInstance) -> None:
    places = [Place("photo_shards", ONE_BUCKET), Place("photo_shards", ANOTHER), Place("photo_metadata")]
    for version in ("old", "new"):
        for place in places:
            log(instance, place, f"{version} {place}")
    history = History(instance)
    for place in places:
        assert history.latest(place.asset)[place].data_version == f"new {place}"
    assert set(history.latest("photo_shards")) == set(places[:2])


def test_materializations_and_observations_are_kept_apart(instance: dg.DagsterInstance) -> None:
    place = Place("url_files", ONE_BUCKET)
    log(instance, place, "observed", is_input=True)
    assert History(instance).latest("url_files") == {}
    log(instance, place, "made")
    history = History(instance)
    assert history.latest("url_files")[place].data_version == "made"
    assert history.latest("url_files", is_input=True)[place].data_version == "observed"


def test_the_buckets_of_an_asset_take_as_many_queries_as_one(instance: dg.DagsterInstance) -> None:
    counts = []
    for number in range(30):
        log(instance, Place("photo_shards", f"world_train-{number:03d}"), "v")
        with counted_queries() as queries:
            history = History(instance)
            assert len(history.latest("photo_shards")) == number + 1
            history.latest("photo_shards")
        counts.append(len(queries))
    assert counts[0] > 0
    assert set(counts) == {counts[0]}


def test_an_earlier_event_can_be_found_by_a_pointer(instance: dg.DagsterInstance) -> None:
    place, other = Place("photo_shards", ONE_BUCKET), Place("photo_shards", ANOTHER)
    first, _, second = log(instance, place, "first"), log(instance, other, "other"), log(instance, place, "second")
    history = History(instance)
    assert history.at(place, first.storage_id) == first
    assert history.at(place, second.storage_id - 1) == first
    assert history.at(place, second.storage_id) == second
    assert history.at(place, first.storage_id - 1) is None


def test_versions_and_metadata_of_an_event_can_be_read(instance: dg.DagsterInstance) -> None:
    tags = {
        DATA_VERSION: "data",
        CODE_VERSION: "code",
        f"{INPUT_VERSION}/photo_metadata": "above",
        f"{INPUT_POINTER}/photo_metadata": "12",
        f"{INPUT_POINTER}/cells_fine": "NULL",
    }
    facts = {"files": {"tables/report.parquet": 7}, "count": 3}
    instance.report_runless_asset_event(dg.AssetMaterialization("report", tags=tags, metadata=facts))
    event = History(instance).latest("report")[Place("report")]
    assert (event.data_version, event.code_version) == ("data", "code")
    assert (event.input_version("photo_metadata"), event.input_version("report")) == ("above", None)
    pointers = [event.input_pointer(asset) for asset in ("photo_metadata", "cells_fine", "report")]
    assert pointers == [12, 0, None]
    assert [event.json(name) for name in ("files", "count", "absent")] == [{"tables/report.parquet": 7}, {}, {}]


def test_an_event_without_versions_says_so(instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization("report"))
    event = History(instance).latest("report")[Place("report")]
    assert (event.data_version, event.code_version) == ("", None)


def test_a_failure_is_told_until_the_asset_is_made(
    project: Project, write_profile: Callable[..., Path], tmp_path: Path
) -> None:
    place, absent = Place("photo_metadata"), tmp_path / "absent.csv"
    write_profile(photo_sets__world_1k__metadata_csv=str(absent))
    failed = project.run("model", "photo_metadata")
    assert not failed.success
    found = History(project.instance).failure(place)
    assert found is not None
    assert (found.run_id, found.all_buckets) == (failed.run_id, False)
    assert str(absent) in found.message
    write_profile()
    assert project.run("model", "photo_metadata").success
    assert History(project.instance).failure(place) is None


def test_a_crawl_that_fails_as_a_whole_is_a_failure_of_all_buckets(
    project: Project, write_profile: Callable[..., Path], tmp_path: Path
) -> None:
    write_profile(photo_sets__world_train__url_csv=str(tmp_path / "absent.csv"))
    failed = project.crawl()
    history = History(project.instance)
    for asset in ("url_lists", "photo_shards"):
        for key in project.profile.bucket_keys():
            found = history.failure(Place(asset, key))
            assert found is not None
            assert (found.run_id, found.all_buckets) == (failed.run_id, True)
            assert "absent.csv" in found.message
