"""A run's progress on a terminal: one line when a step starts, reports, finishes or fails.

Not here: launching (launch.py). The one idea: what the Dagster page shows is in the event log, so the terminal reads
the same log.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import dagster as dg

from geo_pipeline.defs.history import failure_message
from geo_pipeline.defs.metrics import SCENE
from geo_pipeline.defs.orphans import LAUNCHED_TAG
from geo_pipeline.defs.status import is_warning

POLL_SECONDS = 0.5
SHOWN_NUMBERS = (
    "epoch",
    "step",
    "steps_per_epoch",
    "train_loss",
    "validation_loss",
    "accuracy_hierarchy_200",
    "accuracy_hierarchy_750",
    "photos_done",
    "photos_total",
    "photos_per_second",
    "minutes_left",
)


@contextmanager
def shown_progress(instance: dg.DagsterInstance, show: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """Show the events of the run that is launched in the block with the tags that this gives."""
    tags = {LAUNCHED_TAG: uuid.uuid4().hex}
    stop = threading.Event()
    follower = threading.Thread(target=_follow, args=(instance, tags, show, stop), name="progress", daemon=True)
    follower.start()
    try:
        yield tags
    finally:
        stop.set()
        follower.join()


def _follow(
    instance: dg.DagsterInstance, tags: dict[str, str], show: Callable[[str], None], stop: threading.Event
) -> None:
    """Show new events until told to stop, and once more after that; ends early if the database cannot be read."""
    from sqlalchemy.exc import OperationalError

    begun = time.monotonic()
    lines = _new_lines(instance, tags)
    finished = False
    with suppress(OperationalError):  # the run itself meets the same error and reports it
        while not finished:
            finished = stop.wait(POLL_SECONDS)
            for line in next(lines):
                show(f"{time.monotonic() - begun:6.1f} s  {line}")


def _new_lines(instance: dg.DagsterInstance, tags: dict[str, str]) -> Iterator[list[str]]:
    """At each step the lines of the events that came since the last one, of the run with these tags."""
    cursor: str | None = None
    while True:
        runs = instance.get_runs(dg.RunsFilter(tags=tags), limit=1)
        connection = instance.get_records_for_run(runs[0].run_id, cursor) if runs else None
        cursor = connection.cursor if connection else None
        events = (record.event_log_entry.dagster_event for record in (connection.records if connection else ()))
        yield [line for event in events if event and (line := progress_line(event))]


def progress_line(event: dg.DagsterEvent) -> str | None:
    """What a person wants to know of an event, if anything."""
    step = event.step_key
    if event.event_type is dg.DagsterEventType.STEP_START:
        return f"{step} …"
    if event.event_type is dg.DagsterEventType.STEP_SUCCESS:
        return f"{step} done in {event.step_success_data.duration_ms / 1000:.1f} s"
    if event.event_type is dg.DagsterEventType.STEP_FAILURE:
        return f"{step} FAILED: {failure_message(event).splitlines()[0]}"
    if event.event_type is dg.DagsterEventType.ASSET_OBSERVATION:
        of_one_bucket = event.asset_observation_data.asset_observation.partition is not None
        return None if of_one_bucket else f"{step}: {_numbers(event)}"
    if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        return _check_line(event.asset_check_evaluation_data)
    return None


def _check_line(check: dg.AssetCheckEvaluation) -> str | None:
    """What there is to say of a check that did not pass."""
    named = f"check {check.check_name} of {check.asset_key.to_user_string()}"
    if is_warning(check):
        return f"{named} warns: {(check.description or '').partition(chr(10))[0]}"
    return None if check.passed else f"{named} FAILED"


def _numbers(event: dg.DagsterEvent) -> str:
    """Those numbers of an observation that fit on a line, after the scene that they are about if there is one."""
    metadata = event.asset_observation_data.asset_observation.metadata
    scene = str(metadata[SCENE].value) if SCENE in metadata else None
    names = {name: name if scene is None else f"{scene}_{name}" for name in SHOWN_NUMBERS}
    known = {name: metadata[key].value for name, key in names.items() if key in metadata}
    text = ", ".join(f"{name} {value:.4g}" for name, value in known.items() if isinstance(value, int | float))
    return text if scene is None else f"{scene}: {text}"
