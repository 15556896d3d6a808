"""Small real trainings on the made-up earth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from geo_pipeline.store import write_table
from geo_pipeline.training.config import TrainingConfig
from geo_pipeline.training.job import TrainingJob
from geo_pipeline_tests.model import made_up


def config(**model_params: Any) -> TrainingConfig:
    """Two epochs of four batches, in float32 so that equal means equal."""
    return TrainingConfig.model_validate(
        {
            "model_params": {
                "architecture": "small_resnet",
                "image_size": 32,
                "resize_size": 32,
                "batch_size": 16,
                "optimizer": {"learning_rate": 0.05},
                "schedule": {"name": "cosine"},
                **model_params,
            },
            "trainer_params": {"max_epochs": 2, "precision": "32-true", "accelerator": "cpu"},
        }
    )


def job(folder: Path, run: str = "run", num_photos: int = 60, **model_params: Any) -> TrainingJob:
    """A job over some training and 20 validation photos, its tables and shards in `folder`."""
    tables = {
        "training_photos": made_up.photos(folder, num_photos, seed=1),
        "validation_photos": made_up.photos(folder, 20, seed=2),
        "hierarchy": made_up.hierarchy(),
        **made_up.cells(),
    }
    for name, table in tables.items():
        write_table(folder / f"{name}.parquet", table)
    return TrainingJob(
        config=config(**model_params),
        training_photos=folder / "training_photos.parquet",
        validation_photos=folder / "validation_photos.parquet",
        cells={name: folder / f"{name}.parquet" for name in ("coarse", "middle", "fine")},
        hierarchy=folder / "hierarchy.parquet",
        shards_root=folder,
        run_dir=folder / run,
    )


def epochs(run_dir: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    clock = {"seconds", "photos_per_second", "waiting_share"}
    return [{key: value for key, value in line.items() if key not in clock} for line in lines]
