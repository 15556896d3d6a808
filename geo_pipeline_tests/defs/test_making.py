"""What is recorded of every asset when it is made, and when a run keeps one as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from geo_pipeline.defs.io_managers import TABLE_METADATA
from geo_pipeline.defs.lineage import MADE_FROM, versions
from geo_pipeline.defs.making import KEPT, ONLY_STALE
from geo_pipeline_tests.defs.project import Project, failure

WriteProfile = Callable[..., Path]
STALE_ONLY = {ONLY_STALE: "true"}


def test_an_event_records_the_code_and_the_settings_that_its_version_stands_for(project: Project) -> None:
    assert project.run("model", "photo_metadata", "cells_coarse").success
    for asset in ("photo_metadata", "cells_coarse"):
        event, version = project.latest(asset), versions(project.profile)[asset]
        assert event.json(MADE_FROM) == version.as_metadata()
        assert event.code_version == version.text


def test_a_run_for_what_is_stale_keeps_what_is_fresh(project: Project) -> None:
    assert project.run("model", "photo_metadata", tags=STALE_ONLY).success
    made = project.latest("photo_metadata")
    assert KEPT not in made.metadata
    assert project.run("model", "photo_metadata", tags=STALE_ONLY).success
    kept = project.latest("photo_metadata")
    assert kept.storage_id != made.storage_id
    assert kept.metadata[KEPT].value is True
    assert kept.data_version == made.data_version
    assert {*made.metadata, KEPT} == set(kept.metadata)
    assert {name: kept.metadata[name] for name in TABLE_METADATA} == {
        name: made.metadata[name] for name in TABLE_METADATA
    }
    assert kept.json(MADE_FROM) == made.json(MADE_FROM)


def test_a_run_that_was_asked_for_everything_keeps_nothing(project: Project) -> None:
    for _ in range(2):
        assert project.run("model", "photo_metadata").success
        assert KEPT not in project.latest("photo_metadata").metadata


def test_what_is_stale_is_made_by_a_run_for_what_is_stale(project: Project, write_profile: WriteProfile) -> None:
    assert project.run("model", "photo_metadata").success
    write_profile(photo_sets__world_train__max_photos=10)
    assert project.run("model", "photo_metadata", tags=STALE_ONLY).success
    event = project.latest("photo_metadata")
    assert KEPT not in event.metadata
    assert event.metadata["photos_world_train"].value == 10


def test_what_is_damaged_is_made_by_a_run_for_what_is_stale(project: Project) -> None:
    assert project.run("model", "photo_metadata").success
    table = project.layout.table("photo_metadata")
    table.unlink()
    assert project.run("model", "photo_metadata", tags=STALE_ONLY).success
    assert table.is_file()
    assert KEPT not in project.latest("photo_metadata").metadata


def test_a_users_mistake_fails_the_step_with_its_message_and_makes_nothing(
    project: Project, write_profile: WriteProfile, tmp_path: Path
) -> None:
    write_profile(photo_sets__world_1k__metadata_csv=str(tmp_path / "absent.csv"))
    result = project.run("model", "photo_metadata")
    assert f"world_1k: {tmp_path / 'absent.csv'}: metadata" in failure(result)
    assert not project.layout.table("photo_metadata").exists()
