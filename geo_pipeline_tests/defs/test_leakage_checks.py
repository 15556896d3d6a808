"""Photos that a model learnt from and is judged by: what blocks, what warns, and what is remembered."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from geo_pipeline.defs.failures import USER_ERROR
from geo_pipeline.defs.leakage_checks import (
    AUTHORS,
    IDS,
    LIST,
    PICTURES,
    training_photos_are_unseen,
)
from geo_pipeline.defs.outcome import Outcome, finished_run
from geo_pipeline.defs.status import current_status
from geo_pipeline.photos.joins import downloaded_pictures
from geo_pipeline.store import read_table, write_table
from geo_pipeline_tests.defs.project import Project
from geo_pipeline_tests.evaluation.made_up import stored_pictures

UPSTREAM = ("photo_manifest", "photo_metadata", "photo_classes", "cells_coarse", "cells_middle", "cells_fine")


@pytest.fixture
def made(project: Project) -> Project:
    """A project with the tables that the checks read, made up: eight training photos, five that judge."""
    layout = project.layout
    manifests, metadata = [], []
    for seed, (name, count) in enumerate((("world_train", 8), ("world_validation", 2), ("world_1k", 3))):
        folder = layout.shards / name / f"{name}-000"
        folder.mkdir(parents=True)
        stored = stored_pictures(folder / "shard-0.msg", count, seed)
        same = {"photo_set": [name] * count, "bucket": [f"{name}-000"] * count, "status": ["ok"] * count}
        columns = {column: stored[column] for column in stored.column_names}
        manifests.append(pa.table({**same, **columns}))
        authors = pa.array([f"{name} {k}" for k in range(count)])
        metadata.append(pa.table({"photo_set": same["photo_set"], "photo_id": stored["photo_id"], "author": authors}))
    manifest = pa.concat_tables(manifests)
    write_table(layout.table("photo_manifest"), manifest)
    write_table(layout.table("photo_metadata"), pa.concat_tables(metadata))
    write_table(layout.table("training_photos"), downloaded_pictures(manifest, ["world_train"]))
    return project


def results(project: Project, training: pa.Table | None = None) -> dict[str, dg.AssetCheckResult]:
    table = read_table(project.layout.table("training_photos")) if training is None else training
    check: Any = training_photos_are_unseen
    return {result.check_name: result for result in check(project.experiment, table)}


def changed(table: pa.Table, column: str, row: int, value: object) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = value
    return table.set_column(table.column_names.index(column), column, pa.array(values))


def test_photos_that_nobody_is_judged_by_pass(made: Project) -> None:
    found = results(made)
    assert {name: result.passed for name, result in found.items()} == {IDS: True, AUTHORS: True, PICTURES: True}
    assert found[IDS].metadata["judged_photos"].value == 5
    assert (made.layout.reports / LIST).read_text() == "check,photo_set,photo_id,training\n"


def test_an_equal_id_blocks_and_names_both_photos(made: Project) -> None:
    table = read_table(made.layout.table("training_photos"))
    found = results(made, changed(table, "photo_id", 3, "elsewhere/2-1.png"))[IDS]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "1 validation and benchmark photos are training photos" in str(found.description)
    assert "2-1 of world_1k: elsewhere/2-1.png" in str(found.description)
    assert USER_ERROR in found.metadata


def test_a_picture_that_is_learnt_and_judged_warns_with_a_list(made: Project) -> None:
    manifest = read_table(made.layout.table("photo_manifest"))
    judged = downloaded_pictures(manifest, ["world_validation"]).slice(1, 1)
    table = read_table(made.layout.table("training_photos"))
    copy = judged.set_column(1, "photo_id", pa.array(["a copy"]))
    found = results(made, pa.concat_tables([table, copy]))[PICTURES]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert USER_ERROR not in found.metadata
    assert f"{PICTURES},world_validation,1-1,a copy" in (made.layout.reports / LIST).read_text().splitlines()


def test_an_author_that_is_learnt_from_and_judged_by_warns(made: Project) -> None:
    path = made.layout.table("photo_metadata")
    write_table(path, changed(changed(read_table(path), "author", 0, "ann"), "author", 12, "ann"))
    found = results(made)[AUTHORS]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "2-2 of world_1k: ann" in str(found.description)


def test_a_warning_holds_nothing_up_and_is_told(project: Project) -> None:
    assert project.crawl().success
    assert project.run("model", *UPSTREAM).success
    metadata = read_table(project.layout.table("photo_metadata"))
    one = metadata.set_column(metadata.column_names.index("author"), "author", pa.array(["ann"] * metadata.num_rows))
    write_table(project.layout.table("photo_metadata"), one)
    outcome = Outcome(current_status(project.instance, project.experiment, project.definitions), ("training_photos",))
    result = project.run("model", "training_photos")
    assert result.success
    outcome.add(finished_run(project.instance, result.run_id))
    (line,) = outcome.lines()
    assert line.checks.endswith("warned")
    assert outcome.failures() == {}
    status = current_status(project.instance, project.experiment, project.definitions)
    (place,) = [each for each in status.places if each.asset == "training_photos"]
    assert place.reasons == ()
