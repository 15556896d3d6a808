"""A process that trains: it listens to signals, tells mistakes in one message, and ends with an exit code.

Here lives what surrounds `train` in any process. The one idea: the process listens from its first moment, before the
seconds in which torch comes in.

Exit codes: 0 trained; 2 a mistake that the user can mend; 128 + n stopped by signal n, what can be saved is saved.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from geo_pipeline.errors import explain
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.stopping import PATIENCE, StopSignals, TrainingInterruptedError, leave_with_parent

EXIT_USER_ERROR = 2
_PIPES_CONTEXT = "DAGSTER_PIPES_CONTEXT"
_LOGGER = "geo_pipeline"


def run_jobs(make_jobs: Callable[[], Sequence[TrainingJob]]) -> int:
    """Make some jobs, train one after another, and return the exit code."""
    from_dagster = _PIPES_CONTEXT in os.environ
    if from_dagster:
        leave_with_parent()
    try:
        # Ctrl-C on a terminal reaches this process twice where a step runs it: from the terminal and from the step
        with StopSignals(PATIENCE + from_dagster) as signals, _dagster_pipes():
            from geo_pipeline.training.run import train

            for job in make_jobs():
                train(job, signals)
    except TrainingInterruptedError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 128 + error.signal_number
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        print(f"geo-pipeline: {message}", file=sys.stderr)  # noqa: T201
        return EXIT_USER_ERROR
    return 0


@contextmanager
def _dagster_pipes() -> Iterator[None]:
    """Where a Dagster step started this process: its errors and warnings go to the page as well."""
    if _PIPES_CONTEXT not in os.environ:
        yield
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        for handler in pipes.log.handlers:
            logging.getLogger(_LOGGER).addHandler(handler)
        yield
