"""Runs from the command line: what is out of date, brought up to date in as few runs as the buckets allow.

Here lives what `geo-pipeline materialize` does. Not here: parsing (cli.py), the closing table (outcome.py) and
Dagster's own commands, which work as well. The one idea: one run over the buckets that need it, then one run over
everything without buckets, in which an asset is kept if nothing above it has changed after all.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.events import RunFailureReason

from geo_pipeline.defs.bucket_counts import require_bucket_counts
from geo_pipeline.defs.buckets import BUCKETS_TAG
from geo_pipeline.defs.inputs import input_names
from geo_pipeline.defs.jobs import RANGE_END, RANGE_START
from geo_pipeline.defs.making import ONLY_STALE
from geo_pipeline.defs.orphans import close_books
from geo_pipeline.defs.outcome import FinishedRun, Outcome, finished_run
from geo_pipeline.defs.partitions import BUCKETED
from geo_pipeline.defs.progress import shown_progress
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.defs.staleness import Graph, State, graph_of
from geo_pipeline.defs.status import Status, current_status, few
from geo_pipeline.errors import InputError
from geo_pipeline.lock import exclusive
from geo_pipeline.profile import MATERIALIZE_LOCK

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Request:
    """What to materialize: a selection (Dagster's syntax), only some buckets of it, only what is not up to date."""

    selection: str = "*"
    buckets: tuple[str, ...] = ()
    only_stale: bool = False
    wait: bool = True


@dataclass(frozen=True)
class Task:
    """One run: a job's assets, and the buckets of those that have them."""

    job: str
    assets: tuple[str, ...]
    buckets: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def crawl() -> dg.JobDefinition:
    """The job of the assets that have buckets; a function, so that steps in other processes can make it again."""
    from geo_pipeline.definitions import defs

    return defs.resolve_job_def("crawl")


def model() -> dg.JobDefinition:
    """The job of the assets without buckets."""
    from geo_pipeline.definitions import defs

    return defs.resolve_job_def("model")


JOBS = {"crawl": crawl, "model": model}


class Launch:
    """One `materialize`: what it would do, and the doing.

    Raises InputError if the selection is not valid or matches nothing. Expects `DAGSTER_HOME` to be the profile's.
    """

    def __init__(
        self, instance: dg.DagsterInstance, experiment: Experiment, definitions: dg.Definitions, request: Request
    ) -> None:
        self._instance, self._experiment, self._definitions = instance, experiment, definitions
        self._request = request
        self._graph = graph_of_definitions(experiment, definitions)
        self._selected = select(self._graph, definitions, request)

    def plan_text(self) -> str:
        """What a dry run prints: each run, its assets and why."""
        status = self._status()
        return plan_text(self.tasks(status), status)

    def tasks(self, status: Status) -> list[Task]:
        """The runs that are needed as things stand; what the first one finds may make the second one smaller."""
        tasks = [self._crawl_task(status), self._model_task(status, ahead=True)]
        return [task for task in tasks if task is not None]

    def run(self, show: Callable[[str], None]) -> Outcome:
        """Materialize; `show` is given each line of progress. Says what became of each asset.

        Raises LockedError if another process is at it and the request is not to wait, KeyboardInterrupt if a signal
        stopped a run; what its steps had saved is kept.
        """

        def on_wait(holder: str) -> None:
            show(f"{self._experiment.profile.name} is being materialized by {holder}; waiting (Ctrl-C to stop)")

        layout = self._experiment.layout
        with exclusive(layout.folder / MATERIALIZE_LOCK, wait=self._request.wait, on_wait=on_wait) as killed:
            if killed:
                show(f"an earlier materialize was killed: {killed}")
            close_books(self._instance, layout, show)
            return self._run(show)

    def _run(self, show: Callable[[str], None]) -> Outcome:
        status = self._status()
        outcome = Outcome(status, tuple(self._selected))
        crawl_task = self._crawl_task(status)
        if crawl_task:
            require_bucket_counts(self._experiment.profile, self._experiment.layout)
            outcome.add(self._execute(crawl_task, show))
            status = self._status()
        model_task = None if outcome.has_failed else self._model_task(status)
        if model_task:
            outcome.add(self._execute(model_task, show))
        return outcome

    def _status(self) -> Status:
        return current_status(self._instance, self._experiment, self._definitions)

    def _crawl_task(self, status: Status) -> Task | None:
        """The run over the buckets that need it."""
        assets = [name for name in self._selected if name in BUCKETED]
        wanted = set(self._request.buckets or self._graph.bucket_keys)
        if self._request.only_stale:
            due = {(each.asset, each.bucket) for each in status.not_fresh() if each.asset in assets}
            wanted &= {bucket for _, bucket in due if bucket}
            assets = [name for name in assets if {name, "url_lists"} & {asset for asset, _ in due}]
        buckets = tuple(bucket for bucket in self._graph.bucket_keys if bucket in wanted)
        if not assets or not buckets:
            return None
        tags = {RANGE_START: buckets[0], RANGE_END: buckets[-1], BUCKETS_TAG: ",".join(buckets)}
        return Task("crawl", tuple(assets), buckets, tags)

    def _model_task(self, status: Status, *, ahead: bool = False) -> Task | None:
        """The run over the assets without buckets; `ahead` of the crawl, what may follow from it is counted."""
        assets = [name for name in self._selected if name not in BUCKETED]
        if not self._request.only_stale:
            return Task("model", tuple(assets)) if assets else None
        counted = set(self._selected if ahead else assets)
        due = self._graph.downstream({each.asset for each in status.not_fresh()} & counted)
        assets = [name for name in assets if name in due]
        return Task("model", tuple(assets), tags={ONLY_STALE: "true"}) if assets else None

    def _execute(self, task: Task, show: Callable[[str], None]) -> FinishedRun:
        """Run a task in processes of this command."""
        with shown_progress(self._instance, show) as launch:
            result = dg.execute_job(
                dg.reconstructable(JOBS[task.job]),
                self._instance,
                QUIET,
                tags={**task.tags, **launch},
                asset_selection=[dg.AssetKey(asset) for asset in task.assets],
            )
        if _was_interrupted(result):
            raise KeyboardInterrupt
        return finished_run(self._instance, result.run_id)


def _was_interrupted(result: dg.JobExecutionResult) -> bool:
    """Whether a signal ended a run: Dagster catches it, stops the steps and calls the run failed."""
    failures = [event.job_failure_data for event in result.all_events if event.is_job_failure]
    return any(failure.failure_reason is RunFailureReason.UNEXPECTED_TERMINATION for failure in failures)


def graph_of_definitions(experiment: Experiment, definitions: dg.Definitions) -> Graph:
    """The graph of the current definitions."""
    inputs = input_names(experiment.profile)
    return graph_of(definitions.resolve_all_asset_specs(), inputs, experiment.profile.bucket_keys())


def select(graph: Graph, definitions: dg.Definitions, request: Request) -> list[str]:
    """The selected assets in dependency order. Raises InputError naming what is unknown and the nearest name."""
    unknown = [bucket for bucket in request.buckets if bucket not in graph.bucket_keys]
    if unknown:
        raise InputError(f"no bucket is called {unknown[0]!r}{_nearest(unknown[0], graph.bucket_keys)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # of Dagster's own parser
            parts = [part.strip() for part in request.selection.split(",")]
            keys = dg.AssetSelection.from_coercible(parts).resolve(definitions.resolve_asset_graph())
    except Exception as error:
        message = str(error).strip().splitlines()[0]
        raise InputError(f"selection {request.selection!r}: {message}{_advice(graph, request.selection)}") from error
    names = {key.to_user_string() for key in keys}
    chosen = [name for name in graph.nodes if name in names]
    if not chosen:
        raise InputError(f"selection {request.selection!r} matches no asset{_advice(graph, request.selection)}")
    return chosen


def _advice(graph: Graph, selection: str) -> str:
    """The nearest asset and all others."""
    return f"{_nearest(selection, graph.nodes)}; the assets are: {', '.join(graph.nodes)}"


def _nearest(name: str, known: Iterable[str]) -> str:
    plain = name.removeprefix("key:").strip("\"'+*")
    near = difflib.get_close_matches(plain, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def plan_text(tasks: Sequence[Task], status: Status) -> str:
    """What a dry run prints: each run, its assets and why."""
    if not tasks:
        return "nothing to do: everything selected is fresh"
    lines = []
    for number, task in enumerate(tasks, start=1):
        lines.append(f"run {number} (job {task.job})" + (f", {len(task.buckets)} buckets" if task.buckets else ""))
        width = max(len(asset) for asset in task.assets)
        lines += [f"  {asset:<{width}}  {_why(asset, task, status)}".rstrip() for asset in task.assets]
    return "\n".join(lines)


def _why(asset: str, task: Task, status: Status) -> str:
    """Why an asset is in a run."""
    places = [
        each for each in status.places if each.asset == asset and (not task.buckets or each.bucket in task.buckets)
    ]
    due = [each for each in places if each.state is not State.FRESH]
    if not due:
        above = dict.fromkeys(name for each in places for name in each.upstream)
        return f"if it changes: {few(list(above))}" if above else "fresh, made again as asked"
    reasons = dict.fromkeys(reason for each in due for reason in each.reasons)
    buckets = f"{few([str(each.bucket) for each in due])}: " if due[0].bucket else ""
    return f"{buckets}{due[0].state}: {few(list(reasons))}"
