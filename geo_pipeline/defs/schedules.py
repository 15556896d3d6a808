"""Schedules: the re-crawl, stopped until a person starts it."""

from __future__ import annotations

import dagster as dg

from geo_pipeline.defs.jobs import all_buckets_tags, crawl_job
from geo_pipeline.profile import Profile


def build_recrawl_schedule(profile: Profile) -> dg.ScheduleDefinition:
    """Crawl again at the profile's times, in one run in which a bucket with nothing due costs nothing."""

    @dg.schedule(
        job=crawl_job,
        cron_schedule=profile.schedule.recrawl_cron,
        execution_timezone=profile.schedule.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="New photos, and failed ones whose time has come, in one run over all buckets.",
    )
    def recrawl() -> dg.RunRequest:
        return dg.RunRequest(tags=all_buckets_tags(profile))

    return recrawl
