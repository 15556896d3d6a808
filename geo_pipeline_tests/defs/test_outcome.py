"""What became of each asset in the runs of a materialize, read from the events of real runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from geo_pipeline.defs.making import ONLY_STALE
from geo_pipeline.defs.outcome import (
    FinishedRun,
    Line,
    Outcome,
    failure_text,
    finished_run,
    outcome_text,
    raise_if_user_can_mend,
)
from geo_pipeline.defs.status import current_status
from geo_pipeline.errors import InputError
from geo_pipeline_tests.defs.project import Project

SELECTED = ("url_lists", "photo_shards", "photo_metadata", "cells_coarse")
MODEL = SELECTED[2:]
WriteProfile = Callable[..., Path]


def outcome_before(project: Project, selected: tuple[str, ...] = SELECTED) -> Outcome:
    return Outcome(current_status(project.instance, project.experiment, project.definitions), selected)


def finished(project: Project, result: dg.ExecuteInProcessResult) -> FinishedRun:
    return finished_run(project.instance, result.run_id)


def by_asset(outcome: Outcome) -> dict[str, Line]:
    return {line.asset: line for line in outcome.lines()}


def test_what_was_made_is_told_with_its_seconds_and_checks(project: Project) -> None:
    outcome = outcome_before(project)
    outcome.add(finished(project, project.crawl()))
    outcome.add(finished(project, project.run("model", *MODEL)))
    lines = by_asset(outcome)
    assert {asset: line.done for asset, line in lines.items()} == {
        "url_lists": "5 of 5 buckets made",
        "photo_shards": "5 of 5 buckets made",
        "photo_metadata": "made",
        "cells_coarse": "made",
    }
    assert lines["photo_metadata"].checks == "1 passed"
    assert lines["url_lists"].seconds is None, "both assets with buckets share one step"
    assert all((lines[asset].seconds or 0) > 0 for asset in SELECTED[1:])
    assert not outcome.has_failed
    heading, *rows = outcome_text(outcome).splitlines()
    assert heading.split() == ["asset", "what", "was", "done", "seconds", "checks"]
    assert [row.split()[0] for row in rows] == list(SELECTED)


def test_what_needed_nothing_is_fresh_kept_or_made_with_the_same_content(project: Project) -> None:
    assert project.run("model", *MODEL).success
    nothing_run, only_stale, again = (outcome_before(project, MODEL) for _ in range(3))
    assert {line.done for line in nothing_run.lines()} == {"fresh"}
    only_stale.add(finished(project, project.run("model", *MODEL, tags={ONLY_STALE: "true"})))
    assert {line.done for line in only_stale.lines()} == {"kept: nothing above it changed"}
    again.add(finished(project, project.run("model", *MODEL)))
    assert {line.done for line in again.lines()} == {"made, same content"}


def test_a_failed_step_names_what_was_not_reached_and_the_command_that_tries_again(
    project: Project, write_profile: WriteProfile, tmp_path: Path
) -> None:
    write_profile(photo_sets__world_1k__metadata_csv=str(tmp_path / "absent.csv"))
    outcome = outcome_before(project, MODEL)
    outcome.add(finished(project, project.run("model", *MODEL)))
    assert outcome.has_failed
    assert {line.asset: line.done for line in outcome.lines()} == {
        "photo_metadata": "FAILED",
        "cells_coarse": "not reached",
    }
    text = failure_text(outcome)
    assert text.startswith("photo_metadata failed: ")
    assert str(tmp_path / "absent.csv") in text
    assert """geo-pipeline --profile small materialize --stale 'key:"photo_metadata"+'""" in text
    with pytest.raises(InputError, match=r"absent\.csv"):
        raise_if_user_can_mend(outcome.events())


def test_a_failed_check_is_named_and_stops_what_follows(
    project: Project, write_profile: WriteProfile, bad_metadata: Path
) -> None:
    write_profile(photo_sets__world_train__metadata_csv=str(bad_metadata))
    outcome = outcome_before(project, MODEL)
    outcome.add(finished(project, project.run("model", *MODEL)))
    lines = by_asset(outcome)
    assert (lines["photo_metadata"].done, lines["photo_metadata"].checks) == ("FAILED", "FAILED: metadata_is_clean")
    assert lines["cells_coarse"].done == "not reached"
    assert outcome.failures()["photo_metadata"].startswith("check metadata_is_clean failed: 1 rows cannot be used")


def test_a_crawl_with_a_bad_bucket_has_failed_and_names_it(project: Project) -> None:
    bucket = project.layout.bucket("world_validation-000")
    bucket.parent.mkdir(parents=True)
    bucket.write_text("in the way")
    outcome = outcome_before(project, SELECTED[:2])
    outcome.add(finished(project, project.crawl()))
    assert by_asset(outcome)["photo_shards"].done == "4 of 5 buckets made, FAILED"
    assert "world_validation-000" in outcome.failures()["photo_shards"]
