"""The number of buckets on disk against the profile's; test_changes.py moves the buckets of a whole world."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from geo_pipeline.crawl.migration import migrate_buckets
from geo_pipeline.defs import bucket_counts
from geo_pipeline.defs.bucket_counts import (
    COUNTS_FILE,
    bucket_count_problem,
    changed_bucket_counts,
    migrate,
    require_bucket_counts,
    write_down_bucket_counts,
)
from geo_pipeline.errors import InputError
from geo_pipeline.store import read_table
from geo_pipeline_tests.defs.project import Project

WriteProfile = Callable[..., Path]


def test_before_the_first_crawl_any_number_will_do(project: Project) -> None:
    assert changed_bucket_counts(project.profile, project.layout) == {}
    assert bucket_count_problem(project.profile, project.layout) is None
    require_bucket_counts(project.profile, project.layout)


def test_the_numbers_of_a_crawl_are_kept_beside_the_files(project: Project) -> None:
    write_down_bucket_counts(project.profile, project.layout)
    known = json.loads((project.layout.shards / COUNTS_FILE).read_text("utf-8"))
    assert known == {"world_train": 2, "world_validation": 1, "world_1k": 1, "world_300": 1}
    require_bucket_counts(project.profile, project.layout)


def test_another_number_names_the_set_both_numbers_and_the_command(
    project: Project, write_profile: WriteProfile
) -> None:
    write_down_bucket_counts(project.profile, project.layout)
    write_profile(photo_sets__world_train__buckets=3)
    assert changed_bucket_counts(project.profile, project.layout) == {"world_train": (2, 3)}
    with pytest.raises(InputError) as caught:
        require_bucket_counts(project.profile, project.layout)
    message = str(caught.value)
    assert "photo set world_train has 2 buckets on disk and 3 in the profile" in message
    assert "`geo-pipeline --profile small migrate-buckets`" in message
    assert message.endswith("or set `buckets` back")


def test_a_set_that_left_the_profile_keeps_its_number(project: Project, write_profile: WriteProfile) -> None:
    write_down_bucket_counts(project.profile, project.layout)
    sets = {name: each.model_dump(mode="json", exclude_none=True) for name, each in project.profile.photo_sets.items()}
    write_profile(photo_sets={name: each for name, each in sets.items() if name != "world_300"})
    assert changed_bucket_counts(project.profile, project.layout) == {}
    write_down_bucket_counts(project.profile, project.layout)
    assert json.loads((project.layout.shards / COUNTS_FILE).read_text("utf-8"))["world_300"] == 1


def test_the_photos_of_files_without_a_note_are_counted_from_their_folders_and_moved(
    project: Project, write_profile: WriteProfile
) -> None:
    assert project.crawl().success
    (project.layout.shards / COUNTS_FILE).unlink()
    before = photos(project, 2)
    write_profile(photo_sets__world_train__buckets=4)
    assert changed_bucket_counts(project.profile, project.layout) == {"world_train": (2, 4)}
    told: list[str] = []
    assert set(migrate(project.profile, project.layout, told.append)) == {"world_train"}
    assert told == ["world_train: 2 to 4 buckets"]
    assert photos(project, 4) == before
    require_bucket_counts(project.profile, project.layout)
    assert migrate(project.profile, project.layout, told.append) == {}


def photos(project: Project, buckets: int) -> set[tuple[str, str, str]]:
    """(id, status, hash of the picture) of each training photo, from all of its buckets."""
    files = [project.layout.bucket(f"world_train-{number:03d}") / "manifest.parquet" for number in range(buckets)]
    rows = [row for file in files for row in read_table(file).to_pylist()]
    return {(row["photo_id"], row["status"], row["image_sha256"]) for row in rows}


def test_after_a_kill_before_the_new_number_was_written_down_the_old_one_is_not_believed(
    project: Project, write_profile: WriteProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.crawl().success
    write_profile(photo_sets__world_train__buckets=3)

    def move_and_die(*args: Any, **options: Any) -> None:
        migrate_buckets(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(bucket_counts, "migrate_buckets", move_and_die)
    with pytest.raises(KeyboardInterrupt):
        migrate(project.profile, project.layout, print)
    assert changed_bucket_counts(project.profile, project.layout) == {}
    write_profile(photo_sets__world_train__buckets=2)
    assert changed_bucket_counts(project.profile, project.layout) == {"world_train": (3, 2)}
