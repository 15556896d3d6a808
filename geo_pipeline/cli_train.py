"""`geo-pipeline train`: trains a network, of the profile's photos or of tables of one's own.

Here lives what the profile has to do with it. Not here: the other options (training.command) and the training itself.
The one idea: a training from the command line has a folder of its own, so it never touches the asset's model.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from geo_pipeline.errors import InputError
from geo_pipeline.profile import Layout, layout_of, load_profile, profile_path
from geo_pipeline.training.options import add_options as add_training_options
from geo_pipeline.training.options import given_tables

if TYPE_CHECKING:
    from geo_pipeline.training.job import TrainingJob

ASSET_RUN = "base"
"""The folder, below the profile's `models`, of the asset geo_model."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    add_training_options(parser)
    parser.epilog = (
        "Without --photos: the tables and shards that the profile has materialized, its config, and the folder "
        "models/<name of the config> of the profile. Every key of a config, its default and its meaning: "
        "geo_pipeline/training/config.py and geo_pipeline/model/settings.py."
    )


def run(options: argparse.Namespace) -> int:
    """Train; the exit code."""
    from geo_pipeline.training.command import job_of_tables
    from geo_pipeline.training.process import run_jobs

    return run_jobs(lambda: [job_of_tables(options) if given_tables(options) else _job_of_profile(options)])


def _job_of_profile(options: argparse.Namespace) -> TrainingJob:
    """The job over what the profile has materialized."""
    from geo_pipeline.training.command import start_options
    from geo_pipeline.training.config_file import load_config
    from geo_pipeline.training.job import TrainingJob

    profile = load_profile(profile_path(options.profile))
    layout = layout_of(profile)
    config = options.config or profile.training
    output = options.output or layout.run(config.stem)
    _refuse_the_assets_folder(layout, output)
    return TrainingJob(
        config=load_config(config, options.changes),
        training_photos=layout.table("training_photos"),
        validation_photos=layout.table("validation_photos"),
        cells={name: layout.table(f"cells_{name}") for name in profile.partitionings},
        hierarchy=layout.table("cell_hierarchy"),
        shards_root=layout.shards,
        run_dir=output,
        **start_options(options),
    )


def _refuse_the_assets_folder(layout: Layout, output: object) -> None:
    if output == layout.run(ASSET_RUN):
        raise InputError(
            f"--output {output}: the folder of the asset geo_model; name another one, or run "
            "`geo-pipeline materialize geo_model`"
        )
