"""What is observed of input files: which ones there are, what is logged of them, and what an unreadable one does."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import yaml

from geo_pipeline.defs import inputs
from geo_pipeline.defs.history import History, Place
from geo_pipeline.defs.inputs import (
    METADATA_FILES,
    REMOVAL_LIST,
    SCENE_CLASSIFIER,
    URL_FILES,
    WEIGHTS_FILE,
    Observed,
    input_deps,
    input_names,
    inputs_and_news,
    observe,
    report_inputs,
)
from geo_pipeline.defs.jobs import RANGE_END, RANGE_START
from geo_pipeline.defs.status import current_status
from geo_pipeline.profile import load_profile
from geo_pipeline.store import table_hash
from geo_pipeline_tests.defs.project import Project

WriteProfile = Callable[..., Path]


@pytest.fixture
def lists(small_world: tuple[Path, int], tmp_path: Path) -> Path:
    """A copy of the world's lists that a test may change, all of it an hour old."""
    copy = shutil.copytree(small_world[0], tmp_path / "lists")
    moment = time.time() - 3600
    for path in copy.rglob("*"):
        os.utime(path, (moment, moment))
    return copy


@pytest.fixture
def own(project: Project, lists: Path, write_profile: WriteProfile) -> Project:
    """A project that reads the copy."""
    project.profile_file = write_profile(
        photo_sets__world_train__url_csv=str(lists / "world_train_urls.csv"),
        photo_sets__world_train__metadata_csv=str(lists / "world_train_metadata.csv"),
        photo_sets__world_300__image_dir=str(lists / "world_300"),
    )
    return project


def by_place(seen: list[Observed]) -> dict[Place, Observed]:
    return {each.place: each for each in seen}


def logged(project: Project, *assets: str) -> dict[Place, str]:
    """The data version of the last observation of each place."""
    history = History(project.instance)
    events = {place: event for asset in assets for place, event in history.latest(asset, is_input=True).items()}
    return {place: event.data_version for place, event in events.items()}


def num_observations(project: Project) -> int:
    keys = [dg.AssetKey(asset) for asset in (URL_FILES, METADATA_FILES)]
    return sum(len(project.instance.fetch_observations(key, limit=100).records) for key in keys)


def test_a_profiles_optional_files_are_inputs_of_what_reads_them(
    write_profile: WriteProfile, tmp_path: Path, scene_config: Path
) -> None:
    plain = load_profile(write_profile())
    assert input_names(plain) == [URL_FILES, METADATA_FILES]
    config = {"model_params": {"weights": "backbone.pt"}, "trainer_params": {"max_epochs": 1}}
    (tmp_path / "training.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    full = load_profile(
        write_profile(
            training=str(tmp_path / "training.yml"),
            removal_list=str(tmp_path / "removals.csv"),
            partitionings__middle={"csv": str(tmp_path / "middle.csv")},
            scene_training=str(scene_config),
            scene_classifier={"checkpoint": "scenes.pth", "classes": "scenes.csv"},
        )
    )
    optional = {REMOVAL_LIST, WEIGHTS_FILE, SCENE_CLASSIFIER, "cells_middle_file"}
    assert set(input_names(full)) == {URL_FILES, METADATA_FILES, *optional}
    assert set(input_deps(full).items()) == {
        ("url_lists", URL_FILES),
        ("photo_metadata", METADATA_FILES),
        ("cells_middle", "cells_middle_file"),
        ("geo_model", WEIGHTS_FILE),
        ("calibration", SCENE_CLASSIFIER),
        ("benchmark_predictions", SCENE_CLASSIFIER),
    }


def test_all_buckets_and_files_are_observed_with_the_hash_of_what_they_hold(own: Project) -> None:
    seen = by_place(observe(own.experiment))
    buckets = [Place(URL_FILES, key) for key in own.profile.bucket_keys()]
    assert set(seen) == {*buckets, Place(METADATA_FILES)}
    photo_set = own.profile.photo_set("world_train")
    for key, photos in photo_set.by_bucket(photo_set.listed()):
        assert seen[Place(URL_FILES, key)].version == table_hash(photos)[:32]
        assert seen[Place(URL_FILES, key)].photos == photos.num_rows > 0


def test_new_content_is_logged_once(own: Project, lists: Path) -> None:
    everything = by_place(report_inputs(own.instance, own.experiment))
    assert logged(own, URL_FILES, METADATA_FILES) == {place: each.version for place, each in everything.items()}
    assert num_observations(own) == len(everything)
    report_inputs(own.instance, own.experiment)
    assert num_observations(own) == len(everything)
    urls = lists / "world_train_urls.csv"
    urls.write_text(urls.read_text("utf-8") + "one-more,http://127.0.0.1:1/one-more.jpg\n", encoding="utf-8")
    (new,) = inputs_and_news(own.instance, own.experiment)[1]
    assert new.place.asset == URL_FILES
    assert new.photos == (everything[new.place].photos or 0) + 1
    report_inputs(own.instance, own.experiment)
    assert num_observations(own) == len(everything) + 1


def test_a_file_written_anew_elsewhere_with_the_same_content_is_no_news(
    own: Project, lists: Path, write_profile: WriteProfile, tmp_path: Path
) -> None:
    report_inputs(own.instance, own.experiment)
    moved = shutil.copytree(lists, tmp_path / "moved")
    own.profile_file = write_profile(
        photo_sets__world_train__url_csv=str(moved / "world_train_urls.csv"),
        photo_sets__world_train__metadata_csv=str(moved / "world_train_metadata.csv"),
        photo_sets__world_300__image_dir=str(moved / "world_300"),
    )
    assert inputs_and_news(own.instance, own.experiment)[1] == []


def test_rows_in_another_order_are_no_news(own: Project, lists: Path) -> None:
    report_inputs(own.instance, own.experiment)
    urls = lists / "world_train_urls.csv"
    urls.write_text("\n".join(reversed(urls.read_text("utf-8").splitlines())) + "\n", encoding="utf-8")
    assert inputs_and_news(own.instance, own.experiment)[1] == []


def test_a_smaller_max_photos_is_new_content_with_its_setting(own: Project, write_profile: WriteProfile) -> None:
    report_inputs(own.instance, own.experiment)
    own.profile_file = write_profile(photo_sets__world_validation__max_photos=5)
    news = by_place(inputs_and_news(own.instance, own.experiment)[1])
    assert set(news) == {Place(URL_FILES, "world_validation-000")}
    (new,) = news.values()
    assert new.photos == 5
    assert new.settings["photo_sets.world_validation.max_photos"] == 5


def test_what_lists_hold_is_remembered_until_the_code_that_reads_them_changes(
    own: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe(own.experiment)
    memory = own.layout.folder / inputs.MEMORY_FILE
    known = json.loads(memory.read_text("utf-8"))
    place = Place(URL_FILES, "world_train-000")
    (key,) = [key for key in known if key.startswith("list world_train ")]
    known[key][place.bucket] = ["remembered", 7]
    memory.write_text(json.dumps(known), encoding="utf-8")
    assert by_place(observe(own.experiment))[place].version == "remembered"
    monkeypatch.setattr(inputs, "code_parts", lambda _: {"photos/url_lists.py:read_url_csv": "changed"})
    assert by_place(observe(own.experiment))[place].version != "remembered"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, "No such file"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe"), "world_train_urls.csv"),
        (lambda path: path.write_text("just one column\n", encoding="utf-8"), "expected `image_id,url`"),
        (lambda path: path.write_text("", encoding="utf-8"), "world_train_urls.csv"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
    ],
)
def test_an_unreadable_list_is_told_and_leaves_the_others_alone(
    own: Project, lists: Path, spoil: Callable[[Path], object], message: str
) -> None:
    before = by_place(report_inputs(own.instance, own.experiment))
    spoil(lists / "world_train_urls.csv")
    seen = by_place(report_inputs(own.instance, own.experiment))
    for place, each in seen.items():
        if place.bucket and place.bucket.startswith("world_train"):
            assert message in str(each.error)
            assert str(lists / "world_train_urls.csv") in str(each.error)
        else:
            assert each == before[place]
    assert num_observations(own) == len(before)


@pytest.mark.parametrize("name", ["world_train_metadata.csv", "world_300"])
def test_a_missing_file_is_a_problem_of_the_status_and_not_its_end(own: Project, lists: Path, name: str) -> None:
    (lists / name).rename(lists / "elsewhere")
    status = current_status(own.instance, own.experiment, own.definitions)
    (problem,) = status.problems
    assert str(lists / name) in problem
    assert {each.asset for each in status.places} >= {"url_lists", "photo_metadata", "report"}


def test_the_sensor_logs_new_content_once_and_starts_no_run(own: Project, lists: Path) -> None:
    sensor = own.definitions.resolve_sensor_def("input_files")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING

    def tick() -> tuple[list[Place], str | None]:
        with dg.build_sensor_context(own.instance, resources={"experiment": own.experiment}) as context:
            found = sensor.evaluate_tick(context)
        assert not found.run_requests
        for event in found.asset_events:
            own.instance.report_runless_asset_event(event)
        return [
            Place(each.asset_key.to_user_string(), each.partition) for each in found.asset_events
        ], found.skip_message

    first, reason = tick()
    assert set(first) == {Place(METADATA_FILES), *(Place(URL_FILES, key) for key in own.profile.bucket_keys())}
    assert reason == "6 of 6 inputs are new"
    assert tick() == ([], "0 of 6 inputs are new")
    (lists / "world_train_urls.csv").unlink()
    places, reason = tick()
    assert places == []
    assert str(lists / "world_train_urls.csv") in str(reason)


def test_the_page_can_be_told_to_look_at_chosen_buckets(own: Project) -> None:
    job = own.definitions.resolve_implicit_global_asset_job_def()
    selection, keys = [dg.AssetKey(URL_FILES)], own.profile.bucket_keys()
    assert job.execute_in_process(
        instance=own.instance, asset_selection=selection, partition_key="world_1k-000"
    ).success
    assert set(logged(own, URL_FILES)) == {Place(URL_FILES, "world_1k-000")}
    tags = {RANGE_START: keys[0], RANGE_END: keys[1]}
    assert job.execute_in_process(instance=own.instance, asset_selection=selection, tags=tags).success
    assert set(logged(own, URL_FILES)) == {Place(URL_FILES, key) for key in ("world_1k-000", *keys[:2])}
    assert logged(own, METADATA_FILES) == {}


def test_the_page_says_which_file_cannot_be_read(own: Project, lists: Path) -> None:
    job = own.definitions.resolve_implicit_global_asset_job_def()
    selection = [dg.AssetKey(METADATA_FILES)]
    assert job.execute_in_process(instance=own.instance, asset_selection=selection).success
    before = logged(own, METADATA_FILES)
    assert set(before) == {Place(METADATA_FILES)}
    (lists / "world_train_metadata.csv").unlink()
    result = job.execute_in_process(instance=own.instance, asset_selection=selection, raise_on_error=False)
    assert not result.success
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    assert str(lists / "world_train_metadata.csv") in str(data.description)
    assert logged(own, METADATA_FILES) == before
