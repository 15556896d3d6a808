"""A project under test: a profile with an instance and files of its own, whose jobs run in this process."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from geo_pipeline.definitions import build_definitions
from geo_pipeline.defs.history import Event, History, Place
from geo_pipeline.defs.inputs import report_inputs
from geo_pipeline.defs.jobs import all_buckets_tags
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.profile import Layout, Profile, load_profile


class Project:
    """A profile with an instance of its own; runs jobs in this process."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path, profile: Path) -> None:
        self.instance, self.layout, self.profile_file = instance, Layout(folder / "small"), profile

    @property
    def profile(self) -> Profile:
        return load_profile(self.profile_file)

    @property
    def definitions(self) -> dg.Definitions:
        return build_definitions(self.profile, self.layout)

    @property
    def experiment(self) -> Experiment:
        return Experiment(self.profile, self.layout)

    def run(self, job: str, *assets: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        report_inputs(self.instance, self.experiment)
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            tags=tags,
            asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
            raise_on_error=False,
        )

    def crawl(self) -> dg.ExecuteInProcessResult:
        return self.run("crawl", tags=all_buckets_tags(self.profile))

    def latest(self, asset: str, bucket: str | None = None) -> Event:
        return History(self.instance).latest(asset)[Place(asset, bucket)]


def materialized(result: dg.ExecuteInProcessResult) -> list[tuple[str, str | None]]:
    """(asset, bucket) of each materialization of a run, in order."""
    events = (event.step_materialization_data.materialization for event in result.get_asset_materialization_events())
    return [(event.asset_key.to_user_string(), event.partition) for event in events]


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the page says of the failed step."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data
    assert data.user_failure_data is not None, data.error
    return str(data.user_failure_data.description)
