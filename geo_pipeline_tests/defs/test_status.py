"""How everything stands, in words and as JSON, on a real instance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from geo_pipeline.defs.lineage import ORIGINS
from geo_pipeline.defs.partitions import BUCKETED
from geo_pipeline.defs.staleness import State
from geo_pipeline.defs.status import PlaceStatus, Status, current_status, few, status_text
from geo_pipeline_tests.defs.project import Project

WriteProfile = Callable[..., Path]
ASSETS = [asset for asset in ORIGINS if asset != "scene_models"]
"""Of the tests' profile: it has no scene networks."""


def status_of(project: Project) -> Status:
    return current_status(project.instance, project.experiment, project.definitions)


def place(status: Status, asset: str, bucket: str | None = None) -> PlaceStatus:
    (found,) = [each for each in status.places if (each.asset, each.bucket) == (asset, bucket)]
    return found


def test_before_the_first_run_everything_is_missing_each_bucket_counted_once(project: Project) -> None:
    status = status_of(project)
    assert {each.state for each in status.places} == {State.MISSING}
    assert {each.reasons for each in status.places} == {("never made",)}
    lines = status_text(status).splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("url_lists")] == [["url_lists", "5", "missing"]]
    assert sum("(each bucket)" in line for line in lines) == 2
    assert lines[-1].startswith(f"{len(ASSETS)} of {len(ASSETS)} assets are not up to date")
    assert "`geo-pipeline --profile small materialize --stale`" in lines[-1]


def test_the_json_form_has_every_place_in_dependency_order_and_survives_a_round_trip(project: Project) -> None:
    project.run("model", "photo_metadata")
    status = status_of(project)
    content = json.loads(json.dumps(status.as_json()))
    assert set(content) == {"profile", "folder", "places", "problems"}
    assert (content["profile"], content["folder"]) == ("small", str(project.layout.folder))
    buckets = project.profile.bucket_keys()
    expected = [(asset, bucket) for asset in ASSETS for bucket in (buckets if asset in BUCKETED else [None])]
    assert [(each["asset"], each["bucket"]) for each in content["places"]] == expected
    made = next(each for each in content["places"] if each["asset"] == "photo_metadata")
    event = project.latest("photo_metadata")
    assert (made["state"], made["reasons"], made["upstream"]) == ("fresh", [], [])
    assert (made["run_id"], made["data_version"]) == (event.run_id, event.data_version)
    assert made["made_at"].endswith("+00:00")
    missing = next(each for each in content["places"] if each["asset"] == "report")
    assert (missing["state"], missing["made_at"], missing["run_id"]) == ("missing", None, None)


def test_a_failed_check_makes_its_asset_failed_until_it_passes(project: Project, write_profile: WriteProfile) -> None:
    write_profile(checks__min_ok_percent=100)
    assert project.crawl().success
    failed = project.run("model", "photo_manifest")
    assert not failed.success
    found = place(status_of(project), "photo_manifest")
    assert found.state is State.FAILED
    assert found.reasons == (f"check enough_photos_downloaded failed in run {failed.run_id[:8]}",)
    write_profile()
    assert place(status_of(project), "photo_manifest").state is State.STALE
    assert project.run("model", "photo_manifest").success
    assert place(status_of(project), "photo_manifest").state is State.FRESH


def test_a_failed_step_is_told_with_its_message(project: Project, write_profile: WriteProfile, tmp_path: Path) -> None:
    write_profile(photo_sets__world_1k__metadata_csv=str(tmp_path / "absent.csv"))
    failed = project.run("model", "photo_metadata")
    status = status_of(project)
    found = place(status, "photo_metadata")
    assert found.state is State.FAILED
    assert found.reasons[0].startswith(f"failed in run {failed.run_id[:8]}: ")
    (problem,) = status.problems
    assert str(tmp_path / "absent.csv") in problem
    assert f"problem: {problem}" in status_text(status)


def test_a_run_that_does_not_come_to_a_check_leaves_its_last_result(
    project: Project, write_profile: WriteProfile, bad_metadata: Path
) -> None:
    write_profile(photo_sets__world_train__metadata_csv=str(bad_metadata))
    assert not project.run("model", "photo_metadata").success
    checked = place(status_of(project), "photo_metadata").reasons
    assert checked[0].startswith("check metadata_is_clean failed in run ")
    bad_metadata.unlink()
    assert not project.run("model", "photo_metadata").success
    reasons = place(status_of(project), "photo_metadata").reasons
    assert reasons[0].startswith("failed in run ")
    assert reasons[-1] == checked[0]


def test_what_stands_below_a_stale_asset_says_so_and_is_fresh_itself(
    project: Project, write_profile: WriteProfile
) -> None:
    assert project.run("model", "photo_metadata", "cells_coarse").success
    write_profile(checks__max_rejected_percent=7)
    status = status_of(project)
    assert place(status, "photo_metadata").reasons == ("profile checks.max_rejected_percent: 0.0 → 7.0",)
    cells = place(status, "cells_coarse")
    assert (cells.state, cells.upstream) == (State.FRESH, ("photo_metadata",))
    assert "(may change with photo_metadata)" in status_text(status)


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d", "e"], "a, b, c and 2 more")],
)
def test_few_names_are_written_out_and_more_are_counted(names: list[str], text: str) -> None:
    assert few(names) == text
