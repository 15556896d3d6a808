"""Sensors: what happens by itself after a run, stopped until a person starts it."""

from __future__ import annotations

import dagster as dg

from geo_pipeline.defs.jobs import crawl_job, model_job


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
