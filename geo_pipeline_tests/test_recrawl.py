"""The re-crawl schedule, ticked by a real daemon beside a code server: what is due is fetched, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from geo_pipeline.defs.jobs import all_buckets_tags
from geo_pipeline.profile import load_profile
from geo_pipeline_tests.conftest import free_port
from geo_pipeline_tests.test_deploy import BIN, DEPLOY, listening, running, until

EVERY_MINUTE = {"recrawl_cron": "* * * * *"}
FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def runs(instance: dg.DagsterInstance, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
    """The runs that the schedule launched, in order."""
    wanted = dg.RunsFilter(tags={"dagster/schedule_name": "recrawl"}, statuses=statuses)
    return list(reversed(instance.get_runs(wanted)))


def events(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[tuple[str, str | None]]:
    """(asset, bucket) of each materialization of a run."""
    logged = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    found = [entry.asset_materialization for entry in logged]
    return [(each.asset_key.to_user_string(), each.partition) for each in found if each]


@pytest.mark.slow
def test_each_tick_crawls_all_buckets_in_one_run_that_tells_only_of_those_with_something_new(
    write_profile: Callable[..., Path], small_world: tuple[Path, int], tmp_path: Path
) -> None:
    whole, listed = small_world[0] / "world_train_urls.csv", tmp_path / "urls.csv"
    listed.write_text("".join(whole.read_text("utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    profile_file = write_profile(photo_sets__world_train__url_csv=str(listed), schedule=EVERY_MINUTE)
    variables = {
        "GEO_PIPELINE_PROFILE": str(profile_file),
        "GEO_PIPELINE_HOME": str(tmp_path),
        "DAGSTER_HOME": str(tmp_path / "small" / "dagster"),
        "GEO_PIPELINE_CODE_HOST": "127.0.0.1",
        "GEO_PIPELINE_CODE_PORT": str(code := free_port()),
    }
    environment = os.environ | variables
    subprocess.run([str(BIN / "geo-pipeline"), "install"], env=environment, check=True)
    keys = load_profile(profile_file).bucket_keys()
    with running("code", variables), dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
        until(lambda: listening(code))
        start = [str(BIN / "dagster"), "schedule", "start", "recrawl", "-w", str(DEPLOY / "workspace.yaml")]
        subprocess.run(start, env=environment, check=True)
        with running("daemon", variables):
            until(lambda: bool(runs(instance, *FINISHED)), 120)
            shutil.copy(whole, listed)
            (first, *_) = runs(instance)
            assert first.status is dg.DagsterRunStatus.SUCCESS
            assert all_buckets_tags(load_profile(profile_file)).items() <= first.tags.items()
            expected = [(asset, key) for asset in ("url_lists", "photo_shards") for key in keys]
            assert sorted(events(instance, first)) == sorted(expected)
            until(lambda: any(events(instance, run) for run in runs(instance, *FINISHED)[1:]), 120)
        later = runs(instance, *FINISHED)[1:]
        assert {run.status for run in later} == {dg.DagsterRunStatus.SUCCESS}
        told = [event for run in later for event in events(instance, run)]
        (bucket,) = {bucket for _, bucket in told}
        assert told == [("url_lists", bucket), ("photo_shards", bucket)]
        assert str(bucket).startswith("world_train-")
