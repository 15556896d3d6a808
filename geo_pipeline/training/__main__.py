"""`python -m geo_pipeline.training --job JOB.json`: the process that trains.

Exit codes: 0 trained; 2 a mistake that the user can mend, told in one message; 128 + n stopped by signal n, everything
saved. Started by Dagster Pipes it reports through them; without Dagster it needs nothing of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from geo_pipeline.errors import explain
from geo_pipeline.training.job import TrainingJob

EXIT_USER_ERROR = 2
_PIPES_CONTEXT = "DAGSTER_PIPES_CONTEXT"


@contextmanager
def dagster_pipes() -> Iterator[None]:
    """Open the session of Dagster Pipes if a Dagster step started this process, so that its errors reach the page."""
    if _PIPES_CONTEXT not in os.environ:
        yield
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes():
        yield


def main(arguments: Sequence[str]) -> int:
    """Train one job and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m geo_pipeline.training", description="Train one job.")
    parser.add_argument("--job", type=Path, required=True, help="job file (JSON), as TrainingJob.write makes it")
    options = parser.parse_args(arguments)
    from geo_pipeline.training.callbacks import TrainingInterruptedError
    from geo_pipeline.training.run import train

    try:
        with dagster_pipes():
            train(TrainingJob.read(options.job))
    except TrainingInterruptedError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 128 + error.signal_number
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        print(message, file=sys.stderr)  # noqa: T201
        return EXIT_USER_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
