"""What Dagster's event log says of assets: the last event of each, in few queries, and what it was made from.

Here lives the reading of materializations, observations and failures, with Dagster's version tags. Not here: what
follows from them (staleness.py). The one idea: one query for all buckets of an asset, not one for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import dagster as dg

DATA_VERSION = "dagster/data_version"
CODE_VERSION = "dagster/code_version"
USER_PROVIDED = "dagster/data_version_is_user_provided"
INPUT_VERSION = "dagster/input_data_version"
INPUT_POINTER = "dagster/input_event_pointer"
NO_EVENT = "NULL"
FAILED_BUCKETS = "failed_buckets"
"""Metadata of a failed crawl step: the buckets that failed; the others of its run did not."""

CRAWL_STEP = "bucket_crawl"
FAILED_RUNS_READ = 25
"""So many of the last failed runs are looked at; an older failure no longer tells what to do."""


@dataclass(frozen=True, order=True)
class Place:
    """An asset, or one bucket of it."""

    asset: str
    bucket: str | None = None

    def __str__(self) -> str:
        return self.asset if self.bucket is None else f"{self.asset} {self.bucket}"


@dataclass(frozen=True)
class Event:
    """The last event of a place: a materialization, or the observation of an input."""

    storage_id: int
    run_id: str
    timestamp: float
    tags: Mapping[str, str]
    metadata: Mapping[str, Any]

    @property
    def data_version(self) -> str:
        """The version of what the place holds; empty if the event has none."""
        return self.tags.get(DATA_VERSION, "")

    @property
    def code_version(self) -> str | None:
        """The version of the code that made it."""
        return self.tags.get(CODE_VERSION)

    def input_version(self, asset: str) -> str | None:
        """The version of an upstream asset that went into it."""
        return self.tags.get(f"{INPUT_VERSION}/{asset}")

    def input_pointer(self, asset: str) -> int | None:
        """The newest event of an upstream asset that went into it; 0 if there was none, None if it was no upstream."""
        pointer = self.tags.get(f"{INPUT_POINTER}/{asset}")
        return None if pointer is None else 0 if pointer == NO_EVENT else int(pointer)

    def json(self, name: str) -> dict[str, Any]:
        """The JSON metadata of a name; empty if there is none."""
        value = self.metadata.get(name)
        data = value.data if isinstance(value, dg.JsonMetadataValue) else None
        return dict(data) if isinstance(data, dict) else {}


@dataclass(frozen=True)
class Failure:
    """The last time that making a place failed; one of `all_buckets` broke off a crawl as a whole.

    Its moment is what tells it from a later success: storage ids of a run's own events count for themselves in SQLite.
    """

    timestamp: float
    run_id: str
    message: str
    all_buckets: bool = False


class History:
    """Reads the event log of an instance; what was read once is kept, so use it for one look and no longer."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self._latest: dict[tuple[str, bool], dict[Place, Event]] = {}

    def latest(self, asset: str, *, is_input: bool = False) -> Mapping[Place, Event]:
        """The last event of an asset, or of each of its buckets; of inputs it is an observation."""
        if (asset, is_input) not in self._latest:
            self._latest[asset, is_input] = self._read_latest(asset, is_input)
        return self._latest[asset, is_input]

    def at(self, place: Place, pointer: int, *, is_input: bool = False) -> Event | None:
        """The last event of a place that is not newer than a pointer."""
        latest = self.latest(place.asset, is_input=is_input).get(place)
        if latest is None or latest.storage_id <= pointer:
            return latest
        buckets = None if place.bucket is None else [place.bucket]
        wanted = dg.AssetRecordsFilter(dg.AssetKey(place.asset), buckets, before_storage_id=pointer + 1)
        records = self._fetch(wanted, 1, is_input=is_input)
        return _event(records[0]) if records else None

    @cached_property
    def failures(self) -> Mapping[Place, Failure]:
        """The last failure of each place in the last failed runs."""
        found: dict[Place, Failure] = {}
        wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
        for run in self.instance.get_runs(wanted, limit=FAILED_RUNS_READ):
            records = self.instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
            for record in records:
                for place, failure in _failures(record):
                    if place not in found or found[place].timestamp < failure.timestamp:
                        found[place] = failure
        return found

    def failure(self, place: Place) -> Failure | None:
        """The last failure of a place that came after its last event."""
        event = self.latest(place.asset).get(place)
        kinds = [place] if place.bucket is None else [place, Place(place.asset)]
        found = [self.failures[each] for each in kinds if each in self.failures]
        found = [each for each in found if event is None or each.timestamp > event.timestamp]
        return max(found, key=lambda each: each.timestamp, default=None)

    def _read_latest(self, asset: str, is_input: bool) -> dict[Place, Event]:
        key = dg.AssetKey(asset)
        kind = dg.DagsterEventType.ASSET_OBSERVATION if is_input else dg.DagsterEventType.ASSET_MATERIALIZATION
        ids = list(self.instance.get_latest_storage_id_by_partition(key, kind).values())
        if ids:
            records = self._fetch(dg.AssetRecordsFilter(key, storage_ids=ids), len(ids), is_input=is_input)
        else:
            records = self._fetch(dg.AssetRecordsFilter(key), 1, is_input=is_input)
        return {Place(asset, record.partition_key): _event(record) for record in records}

    def _fetch(self, wanted: dg.AssetRecordsFilter, limit: int, *, is_input: bool) -> list[dg.EventLogRecord]:
        fetch = self.instance.fetch_observations if is_input else self.instance.fetch_materializations
        return list(fetch(wanted, limit=limit).records)


def _event(record: dg.EventLogRecord) -> Event:
    """The parts of a logged event that matter here."""
    entry = record.event_log_entry
    logged = entry.asset_materialization or entry.asset_observation
    tags, metadata = (logged.tags or {}, logged.metadata) if logged else ({}, {})
    return Event(record.storage_id, entry.run_id, entry.timestamp, tags, metadata)


def _failures(record: dg.EventLogRecord) -> list[tuple[Place, Failure]]:
    """What a failed step failed to make."""
    event = record.event_log_entry.dagster_event
    if event is None or event.step_key is None:
        return []
    failure = Failure(record.event_log_entry.timestamp, record.event_log_entry.run_id, failure_message(event))
    if event.step_key != CRAWL_STEP:
        return [(Place(event.step_key), failure)]
    data = event.step_failure_data.user_failure_data
    value = data.metadata.get(FAILED_BUCKETS) if data else None
    if not isinstance(value, dg.JsonMetadataValue) or not isinstance(value.data, dict):
        whole = replace(failure, all_buckets=True)
        return [(Place("url_lists"), whole), (Place("photo_shards"), whole)]
    buckets = value.data.items()
    return [(Place("photo_shards", bucket), replace(failure, message=str(reason))) for bucket, reason in buckets]


def failure_message(event: dg.DagsterEvent) -> str:
    """Why a step failed: what the user can mend, else the innermost error."""
    data = event.step_failure_data
    if data.error and data.error.cls_name == "DagsterExecutionInterruptedError":
        return "interrupted"
    if data.user_failure_data and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return str(error.message).strip() if error else "no reason was given"
