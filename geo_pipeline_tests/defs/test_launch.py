"""Which runs a request comes to, and what stands before them; the runs themselves are in test_cli.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from geo_pipeline.defs.buckets import BUCKETS_TAG
from geo_pipeline.defs.jobs import RANGE_END, RANGE_START
from geo_pipeline.defs.launch import Launch, Request, Task, plan_text
from geo_pipeline.defs.making import ONLY_STALE
from geo_pipeline.defs.orphans import LAUNCHED_TAG
from geo_pipeline.defs.status import current_status
from geo_pipeline.errors import InputError
from geo_pipeline.lock import LockedError, exclusive, this_process
from geo_pipeline.profile import MATERIALIZE_LOCK
from geo_pipeline_tests.defs.project import Project

CELLS = ("cells_coarse", "cells_middle", "cells_fine")


def launch(project: Project, request: Request) -> Launch:
    return Launch(project.instance, project.experiment, project.definitions, request)


def tasks(project: Project, request: Request) -> list[Task]:
    status = current_status(project.instance, project.experiment, project.definitions)
    return launch(project, request).tasks(status)


@pytest.mark.parametrize(
    ("selection", "assets"),
    [
        ("cells_coarse", ("cells_coarse",)),
        ("cells_fine, photo_metadata", ("photo_metadata", "cells_fine")),
        ('key:"cells_*"', CELLS),
        ('+key:"cells_coarse"', ("photo_metadata", "cells_coarse")),
        ('key:"benchmark_accuracy"+', ("benchmark_accuracy", "report")),
        ('group:"cells" and not key:"cells_*"', ("cell_hierarchy", "photo_classes")),
    ],
)
def test_a_selection_in_dagsters_syntax_becomes_one_run_in_dependency_order(
    project: Project, selection: str, assets: tuple[str, ...]
) -> None:
    assert tasks(project, Request(selection)) == [Task("model", assets)]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("cells_fin"), "did you mean cells_fine?"),
        (Request('key:"geo_modle"+'), "did you mean geo_model?"),
        (Request('group:"nothing"'), "matches no asset; the assets are: url_lists, photo_shards, "),
        (Request("key:(("), "selection 'key:((': "),
        (Request(buckets=("world_1k-000", "world_1k-001")), "'world_1k-001'; did you mean world_1k-000?"),
        (Request(buckets=("xyz",)), "no bucket is called 'xyz'"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest_name(project: Project, request_: Request, words: str) -> None:
    with pytest.raises(InputError) as error:
        launch(project, request_)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_everything_is_one_run_over_the_buckets_and_one_over_the_rest(project: Project) -> None:
    crawl, model = tasks(project, Request())
    assert crawl.job == "crawl"
    assert crawl.assets == ("url_lists", "photo_shards")
    assert crawl.buckets == tuple(project.profile.bucket_keys())
    assert (model.job, model.buckets, dict(model.tags)) == ("model", (), {})
    assert model.assets[0] == "photo_manifest"
    assert model.assets[-1] == "report"


def test_buckets_are_given_to_the_run_as_dagsters_range_and_by_name_in_the_profiles_order(project: Project) -> None:
    (crawl,) = tasks(project, Request("photo_shards", ("world_300-000", "world_train-001")))
    assert crawl.buckets == ("world_train-001", "world_300-000")
    assert crawl.tags == {
        RANGE_START: "world_train-001",
        RANGE_END: "world_300-000",
        BUCKETS_TAG: "world_train-001,world_300-000",
    }


def test_only_what_is_stale_of_the_selection_and_of_the_buckets_is_run(project: Project) -> None:
    assert project.run("model", "photo_metadata").success
    (model,) = tasks(project, Request("photo_metadata, cells_fine", only_stale=True))
    assert (model.assets, dict(model.tags)) == (("cells_fine",), {ONLY_STALE: "true"})
    (crawl,) = tasks(project, Request("url_lists, photo_shards", ("world_1k-000",), only_stale=True))
    assert crawl.buckets == ("world_1k-000",)
    assert tasks(project, Request("photo_metadata", only_stale=True)) == []
    assert plan_text([], current_status(project.instance, project.experiment, project.definitions)) == (
        "nothing to do: everything selected is fresh"
    )


def test_the_plan_names_each_run_its_assets_and_why(project: Project) -> None:
    assert project.run("model", "photo_metadata", "cells_coarse").success
    lines = launch(project, Request('photo_shards, key:"cells_*", photo_classes')).plan_text().splitlines()
    assert lines[0] == "run 1 (job crawl), 5 buckets"
    assert lines[1].startswith(
        "  photo_shards  world_train-000, world_train-001, world_validation-000 and 2 more: missing"
    )
    assert lines[2] == "run 2 (job model)"
    assert lines[3].split(maxsplit=1) == ["cells_coarse", "fresh, made again as asked"]
    assert lines[4].split(maxsplit=1) == ["cells_middle", "missing: never made"]
    assert len(lines) == 7


def test_another_number_of_buckets_stops_the_launch_before_any_run(
    project: Project, write_profile: Callable[..., Path]
) -> None:
    assert project.crawl().success
    project.profile_file = write_profile(photo_sets__world_train__buckets=3)
    with pytest.raises(InputError, match="migrate-buckets"):
        launch(project, Request("photo_shards")).run(print)
    assert len(project.instance.get_runs()) == 1
    assert (project.layout.folder / MATERIALIZE_LOCK).read_text("utf-8") == ""


def test_a_launch_that_is_not_to_wait_gives_up_while_the_profile_is_at_work(project: Project) -> None:
    request = Request("photo_metadata", wait=False)
    with (
        exclusive(project.layout.folder / MATERIALIZE_LOCK, wait=False, on_wait=print),
        pytest.raises(LockedError, match=f"process {this_process().pid} on "),
    ):
        launch(project, request).run(print)
    assert project.instance.get_runs() == []


def test_a_launch_says_whom_it_follows_and_closes_what_is_left_of_any_earlier_one(project: Project) -> None:
    assert project.run("model", "photo_metadata").success
    words = {"pid": 1, "host": "there", "since": "yesterday", "command": "geo-pipeline materialize"}
    (project.layout.folder / MATERIALIZE_LOCK).write_text(json.dumps(words), encoding="utf-8")
    request, shown = Request("photo_metadata", only_stale=True), list[str]()
    outcome = launch(project, request).run(shown.append)
    assert outcome.runs == []
    assert shown == ["an earlier materialize was killed: process 1 on there since yesterday: geo-pipeline materialize"]
    stopped_before_it_began = dg.DagsterRun("model", tags={LAUNCHED_TAG: "1"}, status=dg.DagsterRunStatus.NOT_STARTED)
    project.instance.add_run(stopped_before_it_began)
    launch(project, request).run(shown.append)
    left = project.instance.get_run_by_id(stopped_before_it_began.run_id)
    assert left is not None
    assert left.status is dg.DagsterRunStatus.FAILURE
    assert "was marked as failed" in shown[-1]
