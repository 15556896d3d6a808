"""A process that trains: it listens to signals, tells mistakes in one message, and ends with an exit code.

Here lives what surrounds `train` in any process. The one idea: the process listens from its first moment, before the
seconds in which torch comes in.

Exit codes: 0 trained; 2 a mistake that the user can mend; 128 + n stopped by signal n, what can be saved is saved.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from geo_pipeline.errors import explain
from geo_pipeline.store import write_text
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.ranks import num_devices, num_ranks, rank, train_in_processes
from geo_pipeline.training.stopping import PATIENCE, StopSignals, TrainingInterruptedError, leave_with_parent

EXIT_USER_ERROR = 2

MESSAGE_FILE = "GEO_PIPELINE_MESSAGE_FILE"
"""Environment variable: the file into which a mistake is written as well, for whoever has started the process."""

_PIPES_CONTEXT = "DAGSTER_PIPES_CONTEXT"
_LOGGER = "geo_pipeline"
_TURN_OF_FIRST_SECONDS = 5.0


def run_jobs(make_jobs: Callable[[], Sequence[TrainingJob]]) -> int:
    """Make some jobs, train one after another, and return the exit code."""
    started_by_us = _PIPES_CONTEXT in os.environ or num_ranks() > 1
    if started_by_us:
        leave_with_parent()
    # Ctrl-C on a terminal reaches this process twice where a step runs it: from the terminal and from the step
    with StopSignals(PATIENCE + started_by_us) as signals:
        return _exit_code(lambda: _run(make_jobs, signals))


def _run(make_jobs: Callable[[], Sequence[TrainingJob]], signals: StopSignals) -> int:
    """Train here, or in as many processes as the configs ask for."""
    jobs = make_jobs()
    devices = max(num_devices(job.resolved_config().trainer_params) for job in jobs)
    if devices > 1 and num_ranks() == 1:
        return train_in_processes(jobs, devices)
    with _dagster_pipes():
        return _exit_code(lambda: _train(jobs, signals))


def _train(jobs: Sequence[TrainingJob], signals: StopSignals) -> int:
    from geo_pipeline.training.run import train

    for job in jobs:
        train(job, signals)
    return 0


def _exit_code(action: Callable[[], int]) -> int:
    """Do something that ends with an exit code; a signal or a mistake is told and becomes one."""
    try:
        return action()
    except TrainingInterruptedError as error:
        if rank() == 0:
            print(error, file=sys.stderr)  # noqa: T201
        return 128 + error.signal_number
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        _tell(message)
        return EXIT_USER_ERROR


def _tell(message: str) -> None:
    """One message, also where several processes make the same mistake: the others leave the first one its turn."""
    if rank() > 0:
        time.sleep(_TURN_OF_FIRST_SECONDS)
    if MESSAGE_FILE in os.environ:
        write_text(Path(os.environ[MESSAGE_FILE]), message)
    print(f"geo-pipeline: {message}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def _dagster_pipes() -> Iterator[None]:
    """Where a Dagster step started this process: its warnings and unexpected errors go to the page as well."""
    if _PIPES_CONTEXT not in os.environ or rank() > 0:
        yield
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        for handler in pipes.log.handlers:
            logging.getLogger(_LOGGER).addHandler(handler)
        yield
