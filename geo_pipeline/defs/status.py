"""How every asset and bucket stands, in words: what `geo-pipeline status` prints.

Here live the reasons behind a cause (which file, which profile key, which code) and the two forms of output. Not
here: the decision (staleness.py). The one idea: what an event was made from is recorded in it, so a change can be
named exactly: old value, new value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as CheckStatus

from geo_pipeline.defs.bucket_counts import bucket_count_problem
from geo_pipeline.defs.history import Event, History, Place
from geo_pipeline.defs.inputs import input_names, report_inputs
from geo_pipeline.defs.lineage import MADE_FROM, Version, versions
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.defs.staleness import Cause, CauseKind, Graph, Standing, State, graph_of, standing

MANY = 3
"""So many names are written out before the rest is counted."""

EVALUATED = frozenset({CheckStatus.SUCCEEDED, CheckStatus.FAILED})
"""Checks that a run came to; one that failed before it leaves them planned."""


@dataclass(frozen=True)
class PlaceStatus:
    """An asset or a bucket: how it stands, why, and which upstream assets are not up to date themselves."""

    asset: str
    bucket: str | None
    state: State
    reasons: tuple[str, ...]
    upstream: tuple[str, ...]
    made_at: str | None
    run_id: str | None
    data_version: str | None

    @property
    def place(self) -> Place:
        """Its name."""
        return Place(self.asset, self.bucket)


@dataclass(frozen=True)
class Status:
    """All places of a profile in dependency order, and what stands in the way (an unreadable input file)."""

    profile: str
    folder: str
    places: tuple[PlaceStatus, ...]
    problems: tuple[str, ...]

    def not_fresh(self) -> list[PlaceStatus]:
        """The places that are out of date by their own doing."""
        return [each for each in self.places if each.state is not State.FRESH]

    @property
    def data_versions(self) -> dict[Place, str | None]:
        """What each place holds."""
        return {each.place: each.data_version for each in self.places}

    def as_json(self) -> dict[str, Any]:
        """Plain values, one entry for each place."""
        return asdict(self)


def current_status(instance: dg.DagsterInstance, experiment: Experiment, definitions: dg.Definitions) -> Status:
    """How everything stands now. New content of input files is logged, so that the page marks the same."""
    seen = report_inputs(instance, experiment)
    graph = graph_of(
        definitions.resolve_all_asset_specs(), input_names(experiment.profile), experiment.profile.bucket_keys()
    )
    history, found = History(instance), versions(experiment.profile)
    folder = experiment.layout.folder
    standings = [standing(graph, place, history, folder) for node in graph.nodes.values() for place in node.places()]
    failed_checks = _failed_checks(instance, definitions, history)
    explain = _Explainer(graph, history, found)
    states = {each.place: _state(each, failed_checks) for each in standings}
    places = tuple(_place_status(each, states, graph, explain, failed_checks) for each in standings)
    problems = [each.error for each in seen] + [bucket_count_problem(experiment.profile, experiment.layout)]
    errors = dict.fromkeys(problem for problem in problems if problem)
    return Status(experiment.profile.name, str(folder), places, tuple(errors))


def status_text(status: Status) -> str:
    """The status as a table for a terminal: buckets are counted, and named where they are not fresh."""
    rows = [("asset", "state", "why"), *_rows(status)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{asset:<{widths[0]}}  {state:<{widths[1]}}  {why}".rstrip() for asset, state, why in rows]
    stale = {each.asset for each in status.not_fresh()}
    closing = (
        f"{len(stale)} of {len({each.asset for each in status.places})} assets are not up to date; "
        f"`geo-pipeline --profile {status.profile} materialize --stale` makes them"
        if stale
        else "everything is fresh"
    )
    problems = [f"problem: {problem}" for problem in status.problems]
    return "\n".join([f"profile {status.profile}: {status.folder}", "", *lines, "", *problems, closing])


def _rows(status: Status) -> Iterator[tuple[str, str, str]]:
    """(asset or bucket, state, reasons) of each line."""
    for asset in dict.fromkeys(each.asset for each in status.places):
        places = [each for each in status.places if each.asset == asset]
        if places[0].bucket is None:
            yield from _place_rows(asset, places[0])
            continue
        counts = Counter(each.state for each in places)
        yield asset, ", ".join(f"{counts[state]} {state}" for state in State if counts[state]), _waits(places)
        alike = [each for each in places if each.state is not State.FRESH]
        if len(alike) == len(places) and len({(each.state, _without_bucket(each)) for each in alike}) == 1:
            yield "  (each bucket)", alike[0].state, _without_bucket(alike[0])[0] if alike[0].reasons else ""
            continue
        for each in alike:
            yield from _place_rows(f"  {each.bucket}", each)


def _without_bucket(each: PlaceStatus) -> tuple[str, ...]:
    """The reasons without the bucket's own name, to see that all have the same."""
    return tuple(reason.replace(f" in {each.bucket}", "") for reason in each.reasons)


def _place_rows(name: str, each: PlaceStatus) -> Iterator[tuple[str, str, str]]:
    reasons = each.reasons or ((_waits([each]),) if each.upstream else ("",))
    yield name, each.state, reasons[0]
    yield from (("", "", reason) for reason in reasons[1:])


def _waits(places: Sequence[PlaceStatus]) -> str:
    """What a fresh asset stands downstream of."""
    upstream = dict.fromkeys(name for each in places for name in each.upstream)
    return f"(may change with {few(list(upstream))})" if upstream else ""


def _state(found: Standing, failed_checks: Mapping[str, str]) -> State:
    """The state of a place, a failed check of its asset included."""
    return State.FAILED if found.state is State.FRESH and found.place.asset in failed_checks else found.state


def _place_status(
    found: Standing,
    states: Mapping[Place, State],
    graph: Graph,
    explain: _Explainer,
    failed_checks: Mapping[str, str],
) -> PlaceStatus:
    """The words for one place."""
    reasons = list(explain.reasons(found))
    if found.place.asset in failed_checks:
        reasons.append(failed_checks[found.place.asset])
    event, state = found.event, states[found.place]
    return PlaceStatus(
        asset=found.place.asset,
        bucket=found.place.bucket,
        state=state,
        reasons=tuple(reasons),
        upstream=tuple(_not_fresh_above(found.place, states, graph)) if state is State.FRESH else (),
        made_at=datetime.fromtimestamp(event.timestamp, UTC).isoformat(timespec="seconds") if event else None,
        run_id=event.run_id if event else None,
        data_version=event.data_version if event else None,
    )


def _not_fresh_above(place: Place, states: Mapping[Place, State], graph: Graph) -> list[str]:
    """The upstream assets, at any distance, that are not up to date."""
    above = {place.asset}
    for name in reversed(list(graph.nodes)):
        if name in above:
            above |= set(graph.nodes[name].parents)
    above.discard(place.asset)
    wanted = {each.asset for each, state in states.items() if state is not State.FRESH and _may_touch(each, place)}
    return [name for name in graph.nodes if name in above & wanted]


def _may_touch(upstream: Place, place: Place) -> bool:
    """Whether an upstream place can change a place: a bucket only the same bucket."""
    return upstream.bucket is None or place.bucket is None or upstream.bucket == place.bucket


def _failed_checks(instance: dg.DagsterInstance, definitions: dg.Definitions, history: History) -> dict[str, str]:
    """The checks whose last evaluation, of what the asset holds now, failed: a reason for each asset."""
    found = {}
    for key in definitions.resolve_asset_graph().asset_check_keys:
        records = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=EVALUATED)
        evaluation = records[0].evaluation if records else None
        asset = key.asset_key.to_user_string()
        event = history.latest(asset).get(Place(asset))
        if evaluation is None or evaluation.passed or is_warning(evaluation) or event is None:
            continue
        target = evaluation.target_materialization_data
        if target is None or target.storage_id == event.storage_id:
            found[asset] = (
                f"check {key.name} failed in run {records[0].run_id[:8]}{_first_line(evaluation.description)}"
            )
    return found


def is_warning(check: dg.AssetCheckEvaluation) -> bool:
    """Whether a check did not pass, but holds nothing up."""
    return not check.passed and check.severity is dg.AssetCheckSeverity.WARN


def _first_line(text: str | None) -> str:
    return f": {text.splitlines()[0]}" if text else ""


@dataclass(frozen=True)
class _Explainer:
    """Finds the words for a cause."""

    graph: Graph
    history: History
    versions: Mapping[str, Version]

    def reasons(self, found: Standing) -> Iterator[str]:
        """Why a place is not fresh."""
        if found.failure:
            yield f"failed in run {found.failure.run_id[:8]}{_first_line(found.failure.message)}"
        if found.event is None:
            yield "never made"
            return
        if found.damaged:
            yield f"gone, cut or changed on disk: {few(found.damaged)}"
        by_asset: dict[str, list[Place]] = {}
        for cause in found.causes:
            if cause.kind is CauseKind.VERSION:
                yield from self._version_reasons(found.place.asset, found.event)
            elif cause.upstream and cause.kind is CauseKind.DEPENDENCY:
                yield self._dependency_reason(found.place.asset, cause)
            elif cause.upstream:
                by_asset.setdefault(cause.upstream.asset, []).append(cause.upstream)
        for asset, places in by_asset.items():
            yield from self._content_reasons(found.event, asset, places)

    def _version_reasons(self, asset: str, event: Event) -> Iterator[str]:
        before, now = event.json(MADE_FROM), self.versions[asset]
        if not before:
            yield "made by an older version of this project, which did not record its settings and code"
            return
        yield from _setting_reasons(before.get("settings", {}), now.settings)
        yield from _code_reasons(before.get("code", {}), now.code)

    def _dependency_reason(self, asset: str, cause: Cause) -> str:
        is_there = cause.upstream is not None and cause.upstream.asset in self.graph.nodes[asset].parents
        return f"now depends on {cause.upstream}" if is_there else f"no longer depends on {cause.upstream}"

    def _content_reasons(self, event: Event, asset: str, places: list[Place]) -> Iterator[str]:
        if asset in self.graph.inputs:
            yield from dict.fromkeys(reason for place in places for reason in self._input_reasons(event, place))
            return
        buckets = [place.bucket for place in places if place.bucket]
        yield f"upstream {asset} has new content" + (f" in {few(buckets)}" if buckets else "")

    def _input_reasons(self, event: Event, place: Place) -> Iterator[str]:
        """Which input file or setting changed, from the two observations."""
        now = self.history.latest(place.asset, is_input=True).get(place)
        before = self.history.at(place, event.input_pointer(place.asset) or 0, is_input=True)
        if now is None or before is None:
            yield f"input {place} was not observed before"
            return
        yield from _setting_reasons(before.json("settings"), now.json("settings"))
        if not before.json("files") or not now.json("files"):
            yield f"input {place} has new content"
        photos = _photos(before, now)
        for key, (path, content) in now.json("files").items():
            if before.json("files").get(key, ["", ""])[1] != content:
                yield f"file {path} ({key}) has new content{photos}"


def _photos(before: Event, now: Event) -> str:
    """How the number of photos of a bucket changed, if it has one."""
    counts = [event.metadata["photos"].value for event in (before, now) if "photos" in event.metadata]
    return f": {counts[0]} → {counts[1]} photos" if len(counts) == 2 else ""


def _setting_reasons(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            yield f"profile {key}: {_shown(before, key)} → {_shown(now, key)}"


def _shown(values: Mapping[str, Any], key: str) -> str:
    return str(values[key]) if key in values else "absent"


def _code_reasons(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """One reason for each kind of change of the code."""
    kinds: Mapping[str, Callable[[str], bool]] = {
        "changed": lambda part: part in before and part in now and before[part] != now[part],
        "new": lambda part: part not in before,
        "gone": lambda part: part not in now,
    }
    for kind, is_it in kinds.items():
        parts = sorted(part for part in {*before, *now} if is_it(part))
        if parts:
            yield f"code {kind}: {few(parts)}"


def few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    rest = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return ", ".join(names[:MANY]) + rest
