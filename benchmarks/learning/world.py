"""The bundled world as a training needs it: its tables, made where they are missing, and jobs over them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geo_pipeline.profile import Layout, Profile
from geo_pipeline.training.config import ModelParams, TrainingConfig
from geo_pipeline.training.job import Earlier, TrainingJob

PARTITIONINGS = ("coarse", "middle", "fine")
_TABLES = ("training_photos", "validation_photos", "cell_hierarchy", "photo_manifest", "photo_metadata")


def require_tables(profile: str, layout: Layout) -> None:
    """Materialize what a training and the benchmarks need, if a table is missing."""
    names = [*_TABLES, *(f"cells_{name}" for name in PARTITIONINGS)]
    if all(layout.table(name).exists() for name in names):
        return
    selection = "+key:training_photos or +key:validation_photos or +key:cell_hierarchy"
    command = [sys.executable, "-m", "geo_pipeline.cli", "--profile", profile, "materialize", "--stale", selection]
    subprocess.run(command, check=True, env=os.environ | {"GEO_PIPELINE_HOME": str(layout.folder.parent)})


def job_of(profile: Profile, layout: Layout, run_dir: Path, changes: Mapping[str, Any]) -> TrainingJob:
    """The profile's training with changed `model_params`."""
    config = profile.training_config()
    params = ModelParams(**(config.model_params.model_dump() | dict(changes)))
    return TrainingJob(
        config=TrainingConfig(model_params=params, trainer_params=config.trainer_params),
        training_photos=layout.table("training_photos"),
        validation_photos=layout.table("validation_photos"),
        cells={name: layout.table(f"cells_{name}") for name in PARTITIONINGS},
        hierarchy=layout.table("cell_hierarchy"),
        shards_root=layout.shards,
        run_dir=run_dir,
        earlier=Earlier.REPLACE,
    )
