"""What became of each asset in a `materialize`: the closing table and what to do about a failure.

Not here: the runs (launch.py). The one idea: everything is read from the runs' own events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import dagster as dg

from geo_pipeline.defs.failures import USER_ERROR
from geo_pipeline.defs.history import CRAWL_STEP, DATA_VERSION, Place, failure_message
from geo_pipeline.defs.making import KEPT
from geo_pipeline.defs.partitions import BUCKETED
from geo_pipeline.defs.staleness import State
from geo_pipeline.defs.status import Status, is_warning
from geo_pipeline.errors import InputError


@dataclass(frozen=True)
class Line:
    """One asset: what was done, how long its step took, and its checks."""

    asset: str
    done: str
    seconds: float | None
    checks: str


@dataclass(frozen=True)
class FinishedRun:
    """A run and all its events, also those that a failing step had logged."""

    succeeded: bool
    events: tuple[dg.DagsterEvent, ...]


def finished_run(instance: dg.DagsterInstance, run_id: str) -> FinishedRun:
    """A run as the event log has it."""
    run = instance.get_run_by_id(run_id)
    events = (entry.dagster_event for entry in instance.all_logs(run_id))
    return FinishedRun(run is not None and run.is_success, tuple(event for event in events if event))


@dataclass
class Outcome:
    """The runs of a materialize, seen against the status before them."""

    before: Status
    selected: tuple[str, ...]
    runs: list[FinishedRun] = field(default_factory=list)

    def add(self, run: FinishedRun) -> None:
        """Take in a finished run."""
        self.runs.append(run)

    @property
    def has_failed(self) -> bool:
        """Whether a run failed."""
        return any(not run.succeeded for run in self.runs)

    def failures(self) -> dict[str, str]:
        """The message of each failed step and blocking check, by asset, in dependency order."""
        steps = [event for event in self.events() if event.is_step_failure and not _is_of_checks(event)]
        found = {self._asset_of(str(event.step_key)): failure_message(event) for event in steps}
        for event in self.events():  # a failed check says more than the failure of its step
            if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                check = event.asset_check_evaluation_data
                if not check.passed and not is_warning(check):
                    reason = f": {check.description}" if check.description else ""
                    found[check.asset_key.to_user_string()] = f"check {check.check_name} failed{reason}"
        return {asset: found[asset] for asset in (*self.selected, *found) if asset in found}

    def _asset_of(self, step: str) -> str:
        """The asset that a step makes or checks; a check's step is called `<asset>_<check>`."""
        if step == CRAWL_STEP:
            return "photo_shards"
        return max((name for name in self.selected if f"{step}_".startswith(f"{name}_")), key=len, default=step)

    def lines(self) -> list[Line]:
        """A line for each selected asset, in dependency order."""
        failed, checks, seconds = self.failures(), self._checks(), self._seconds()
        return [
            Line(asset, self._done(asset, asset in failed), seconds.get(asset), checks.get(asset, ""))
            for asset in self.selected
        ]

    def events(self) -> Iterator[dg.DagsterEvent]:
        """The events of all runs."""
        for run in self.runs:
            yield from run.events

    def _done(self, asset: str, has_failed: bool) -> str:
        """What was done about an asset."""
        made = [event for event in self._materializations() if event.asset_key.to_user_string() == asset]
        if asset in BUCKETED:
            return self._done_buckets(asset, len({event.partition for event in made}), has_failed)
        if has_failed:
            return "FAILED"
        if not made:
            return "not reached" if self.has_failed and self._was_due(asset) else "fresh"
        if KEPT in made[-1].metadata:
            return "kept: nothing above it changed"
        return "made" if self._is_new(made[-1]) else "made, same content"

    def _done_buckets(self, asset: str, num_made: int, has_failed: bool) -> str:
        states = [each.state for each in self.before.places if each.asset == asset]
        parts = [f"{num_made} of {len(states)} buckets made"] if num_made else []
        if has_failed:
            parts.append("FAILED")
        fresh = len(states) - num_made
        if not has_failed and fresh:
            parts.append("fresh" if fresh == len(states) else f"{fresh} fresh")
        return ", ".join(parts)

    def _was_due(self, asset: str) -> bool:
        """Whether an asset was to be made."""
        return any(
            each.asset == asset and (each.state is not State.FRESH or each.upstream) for each in self.before.places
        )

    def _is_new(self, event: dg.AssetMaterialization) -> bool:
        """Whether a materialization has another content than the one before."""
        version = (event.tags or {}).get(DATA_VERSION)
        known = self.before.data_versions.get(Place(event.asset_key.to_user_string()))
        return version != known

    def _materializations(self) -> Iterator[dg.AssetMaterialization]:
        for event in self.events():
            if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
                yield event.step_materialization_data.materialization

    def _checks(self) -> dict[str, str]:
        """`2 passed, 1 warning`, or the names of the failed ones, by asset."""
        passed, warnings = Counter[str](), Counter[str]()
        failed: dict[str, list[str]] = {}
        for event in self.events():
            if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                check = event.asset_check_evaluation_data
                asset = check.asset_key.to_user_string()
                passed[asset] += check.passed
                warnings[asset] += is_warning(check)
                failed.setdefault(asset, []).extend([] if check.passed or is_warning(check) else [check.check_name])
        told = {asset: f", {count} warned" if count else "" for asset, count in warnings.items()}
        return {
            asset: f"FAILED: {', '.join(names)}" if names else f"{passed[asset]} passed{told[asset]}"
            for asset, names in failed.items()
        }

    def _seconds(self) -> dict[str, float]:
        """The duration of each asset's step; both assets with buckets share one."""
        found = {}
        for event in self.events():
            if event.event_type is dg.DagsterEventType.STEP_SUCCESS and event.step_key:
                seconds = event.step_success_data.duration_ms / 1000
                for asset in ("photo_shards",) if event.step_key == CRAWL_STEP else (event.step_key,):
                    found[asset] = seconds
        return found


def _is_of_checks(failure: dg.DagsterEvent) -> bool:
    """Whether a step failed for nothing but that a check in it did not pass."""
    error = failure.step_failure_data.error
    return error is not None and error.cls_name == "DagsterAssetCheckFailedError"


def raise_if_user_can_mend(events: Iterable[dg.DagsterEvent]) -> None:
    """Raise InputError with the messages of steps and checks that failed for a reason that the user can mend."""
    messages = []
    for event in events:
        data = event.step_failure_data.user_failure_data if event.is_step_failure else None
        is_check = event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        told = event.asset_check_evaluation_data if is_check else data
        if told and USER_ERROR in told.metadata:
            messages.append(str(told.description))
    if messages:
        raise InputError("\n".join(dict.fromkeys(messages)))


def failure_text(outcome: Outcome) -> str:
    """What failed, and the command that tries it again."""
    failures = outcome.failures()
    lines = [f"{asset} failed: {message}" for asset, message in failures.items()] or ["the run failed"]
    retry = " or ".join(f'key:"{asset}"+' for asset in failures if asset in outcome.selected) or "*"
    command = f"geo-pipeline --profile {outcome.before.profile} materialize --stale '{retry}'"
    return "\n".join([*lines, f"mend the cause, then: {command}"])


def outcome_text(outcome: Outcome) -> str:
    """The closing table."""
    rows = [("asset", "what was done", "seconds", "checks")]
    lines = outcome.lines()
    rows += [
        (each.asset, each.done, "" if each.seconds is None else f"{each.seconds:.1f}", each.checks) for each in lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{asset:<{widths[0]}}  {done:<{widths[1]}}  {seconds:>{widths[2]}}  {checks}".rstrip()
        for asset, done, seconds, checks in rows
    )
