"""`python -m geo_pipeline.training`: trains in this process, on any machine that has what a training needs.

Here lives its command line. Not here: the rest of the options (command.py) and the training (run.py). The one idea: the
Dagster asset starts this with `--job`, a person on a GPU machine without Dagster with `--config --photos …`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from geo_pipeline.arguments import unknown_argument, with_hyphens
from geo_pipeline.errors import InputError
from geo_pipeline.training.command import job_of_tables, start_options
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.options import add_options, given_tables
from geo_pipeline.training.process import run_jobs


def main(arguments: Sequence[str]) -> int:
    """Train and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m geo_pipeline.training", description="Train a network.")
    parser.add_argument(
        "--job",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="job files (JSON), as TrainingJob.write makes them; several are trained one after another",
    )
    add_options(parser)
    options, unknown = parser.parse_known_args(with_hyphens(arguments, command_first=False))
    if unknown:
        parser.error(unknown_argument(unknown[0].partition("=")[0], parser))
    return run_jobs(lambda: _jobs(options))


def _jobs(options: argparse.Namespace) -> list[TrainingJob]:
    """The jobs that the options describe. Raises InputError if they describe none."""
    if options.job is None and not given_tables(options):
        raise InputError("nothing to train: give --job, or --config, --output and the tables (--help)")
    if options.job is None:
        return [job_of_tables(options)]
    update = start_options(options) if options.fresh or options.from_weights else {}
    return [TrainingJob.read(path).model_copy(update=update) for path in options.job]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
