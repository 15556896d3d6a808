"""Sensors: the input files are looked at all the time; what would start a run is stopped until a person starts it."""

from __future__ import annotations

import dagster as dg

from geo_pipeline.defs.inputs import inputs_and_news
from geo_pipeline.defs.jobs import crawl_job, model_job
from geo_pipeline.defs.resources import Experiment

LOOK_EVERY_SECONDS = 30


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[crawl_job],
    request_job=model_job,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Make everything that follows from a finished crawl.",
)
def model_after_crawl(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    """Launch the `model` job when a `crawl` has succeeded."""
    return dg.RunRequest(run_key=context.dagster_run.run_id)


@dg.sensor(
    name="input_files",
    minimum_interval_seconds=LOOK_EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Observe the input files by content, so that what depends on a changed one is marked. Starts no run.",
)
def input_files(context: dg.SensorEvaluationContext, experiment: dg.ResourceParam[Experiment]) -> dg.SensorResult:
    """Log an observation of each input file, or bucket of a list, whose content is new."""
    seen, news = inputs_and_news(context.instance, experiment)
    problems = sorted({each.error for each in seen if each.error})
    reason = "; ".join(problems) if problems else f"{len(news)} of {len(seen)} inputs are new"
    return dg.SensorResult(asset_events=[each.event() for each in news], skip_reason=reason)
