"""Runs from the command line: the selected assets, brought up in as few runs as their partitions allow.

Here lives what `geo-pipeline materialize` does. Not here: parsing (cli.py) and Dagster's own commands, which work as
well. The one idea: one run over the range of all buckets, then one run over everything that has no buckets.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg

from geo_pipeline.defs.failures import USER_ERROR
from geo_pipeline.defs.jobs import all_buckets_tags
from geo_pipeline.defs.progress import shown_progress
from geo_pipeline.errors import InputError
from geo_pipeline.profile import Profile

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def crawl() -> dg.JobDefinition:
    """The job of the assets that have buckets; a function, so that steps in other processes can make it again."""
    from geo_pipeline.definitions import defs

    return defs.resolve_job_def("crawl")


def model() -> dg.JobDefinition:
    """The job of the assets without buckets."""
    from geo_pipeline.definitions import defs

    return defs.resolve_job_def("model")


def materialize(profile: Profile, selection: str, show: Callable[[str], None]) -> bool:
    """Materialize a selection (Dagster's syntax) of the current profile's assets; True if every run succeeded.

    `show` is given each line of progress. Raises InputError if the selection is not valid or matches nothing, or if a
    step failed for a reason that the user can mend. Expects `DAGSTER_HOME` to be the profile's.
    """
    with dg.DagsterInstance.get() as instance:
        for job, keys, tags in _runs(profile, selection):
            with shown_progress(instance, show) as launch:
                result = dg.execute_job(
                    dg.reconstructable(job), instance, QUIET, tags={**tags, **launch}, asset_selection=keys
                )
            if not result.success:
                raise_if_user_can_mend(result)
                return False
    return True


def raise_if_user_can_mend(result: dg.ExecuteInProcessResult | dg.JobExecutionResult) -> None:
    """Raise InputError with the messages of steps and checks that failed for a reason that the user can mend."""
    failures = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    checks = [
        event.asset_check_evaluation_data
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    messages = [str(each.description) for each in [*failures, *checks] if each and USER_ERROR in each.metadata]
    if messages:
        raise InputError("\n".join(dict.fromkeys(messages)))


def _runs(
    profile: Profile, selection: str
) -> Iterator[tuple[Callable[[], dg.JobDefinition], Sequence[dg.AssetKey], Mapping[str, str]]]:
    """The job, assets and tags of each run that the selection needs, in order."""
    from geo_pipeline.definitions import defs

    graph = defs.resolve_asset_graph()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # of Dagster's own parser
            keys = dg.AssetSelection.from_string(selection).resolve(graph)
    except Exception as error:
        known = ", ".join(sorted(key.to_user_string() for key in graph.get_all_asset_keys()))
        raise InputError(f"--select {selection!r}: {error}; the assets are: {known}") from error
    bucketed = sorted(key for key in keys if graph.get(key).is_partitioned)
    whole = sorted(keys - set(bucketed))
    if not keys:
        raise InputError(f"--select {selection!r}: matches no asset")
    if bucketed:
        yield crawl, bucketed, all_buckets_tags(profile)
    if whole:
        yield model, whole, {}
