"""What a killed launcher leaves behind: steps that run on, runs that seem to run, taken pool slots.

Here lives the ending of a step whose run's process is gone, and the tidying up before the next launch. The one idea:
a step notices by itself that its parent has died and stops as if it had been told to, so its crawl or training saves
what it has; whoever launches next waits for that, then closes the books.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

import dagster as dg

from geo_pipeline.lock import shared, wait_until_free
from geo_pipeline.profile import Layout

LAUNCHED_TAG = "geo_pipeline/launch"
"""Tag of every run that `geo-pipeline materialize` launches."""

LAST_STEPS_SECONDS = 150.0
"""How long a killed run's steps may take to save what they have: more than a training may take to stop."""

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@contextmanager
def running_step(layout: Layout) -> Iterator[None]:
    """Marks a step as running for the length of the block, and stops it when its run's process dies."""
    _stop_with_parent()
    with shared(_steps_lock(layout)):
        yield


def close_books(instance: dg.DagsterInstance, layout: Layout, show: Callable[[str], None]) -> None:
    """Mark the runs of a killed launcher as failed and free their pool slots, once their last steps have ended."""
    unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    # a run that the page executes again has its first one's tags and a process of its own
    runs = [run for run in unfinished if LAUNCHED_TAG in run.tags and run.parent_run_id is None]
    if not runs:
        return
    show("waiting for the last steps of the killed run to save what they have")
    if not wait_until_free(_steps_lock(layout), LAST_STEPS_SECONDS):
        show("a step is still running; going on without waiting any longer")
    for run in runs:
        instance.report_run_failed(run, "The process that ran this was killed.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        show(f"run {run.run_id[:8]} was marked as failed and its pool slots were freed")


def _steps_lock(layout: Layout) -> Path:
    return layout.folder / "steps.lock"


def _stop_with_parent() -> None:
    """In a step's own process: send it SIGTERM when the run's process is gone; Dagster stops the step orderly."""
    parent = multiprocessing.parent_process()
    if parent is None or threading.current_thread() is not threading.main_thread():
        return

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="stop-with-parent", daemon=True).start()
