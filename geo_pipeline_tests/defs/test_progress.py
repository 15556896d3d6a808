"""The lines that a terminal shows of real runs."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg

from geo_pipeline.defs.jobs import all_buckets_tags
from geo_pipeline.defs.progress import shown_progress
from geo_pipeline_tests.defs.project import Project


def test_each_step_is_shown_when_it_begins_and_when_it_is_done(project: Project) -> None:
    assert project.run("model", "photo_metadata").success
    lines: list[str] = []
    with shown_progress(project.instance, lines.append) as tags:
        assert project.run("model", "photo_metadata", "cells_coarse", tags=tags).success
    told = [re.sub(r"^ *[\d.]+ s  ", "", line) for line in lines]
    steps = ["photo_metadata", "photo_metadata_metadata_is_clean", "cells_coarse", "partitionings_are_sound"]
    assert [re.sub(r"[\d.]+ s$", "N s", line) for line in told] == [
        words for step in steps for words in (f"{step} …", f"{step} done in N s")
    ]


def test_a_failed_step_is_shown_with_the_first_line_of_its_message(
    project: Project, write_profile: Callable[..., Path]
) -> None:
    project.profile_file = write_profile(photo_sets__world_train__metadata_csv="absent.csv")
    lines: list[str] = []
    with shown_progress(project.instance, lines.append) as tags:
        assert not project.run("model", "photo_metadata", tags=tags).success
    assert lines[-1].endswith("  photo_metadata FAILED: profile small: input files are missing:")


def test_a_failed_check_is_shown_and_a_passed_one_is_not(project: Project, write_profile: Callable[..., Path]) -> None:
    project.profile_file = write_profile(checks__min_ok_percent=100)
    assert project.run("crawl", tags=all_buckets_tags(project.profile)).success
    lines: list[str] = []
    with shown_progress(project.instance, lines.append) as tags:
        assert not project.run("model", "photo_manifest", "photo_metadata", tags=tags).success
    told = [line for line in lines if "  check " in line]
    assert len(told) == 1
    assert told[0].endswith(" of photo_manifest FAILED")


def test_what_a_step_reports_while_it_runs_is_shown_without_the_numbers_that_fit_on_no_line() -> None:
    @dg.asset
    def geo_model(context: dg.AssetExecutionContext) -> None:
        numbers = {"epoch": 3, "train_loss": 1.23456, "seconds": 9.0, "curves": "text"}
        context.log_event(dg.AssetObservation("geo_model", metadata=numbers))

    lines: list[str] = []
    with dg.instance_for_test() as instance, shown_progress(instance, lines.append) as tags:
        dg.materialize([geo_model], instance=instance, tags=tags)
    assert lines[1].endswith("  geo_model: epoch 3, train_loss 1.235")


def test_an_epoch_of_a_scene_is_shown_after_the_scenes_name() -> None:
    @dg.asset
    def scene_models(context: dg.AssetExecutionContext) -> None:
        numbers = {"scene": "water", "water_epoch": 3, "water_train_loss": 1.23456}
        context.log_event(dg.AssetObservation("scene_models", metadata=numbers))

    lines: list[str] = []
    with dg.instance_for_test() as instance, shown_progress(instance, lines.append) as tags:
        dg.materialize([scene_models], instance=instance, tags=tags)
    assert lines[1].endswith("  scene_models: water: epoch 3, train_loss 1.235")


def test_a_database_that_cannot_be_read_ends_the_lines_and_not_the_run(tmp_path: Path) -> None:
    lines: list[str] = []
    runs = tmp_path / "history" / "runs.db"
    with (
        dg.instance_for_test(temp_dir=str(tmp_path)) as instance,
        shown_progress(instance, lines.append),
        closing(sqlite3.connect(runs)) as database,
    ):
        database.execute("drop table runs")
        database.commit()
    assert lines == []
