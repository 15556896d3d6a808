"""`python -m geo_pipeline_tests.training.ranks JOB.json`: epochs of the module alone, by as many processes as torchrun
starts. The first one writes `ranks.ckpt` and `ranks.json` into the job's run folder.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch

from geo_pipeline.model.geography import Geography
from geo_pipeline.store import read_table
from geo_pipeline.training.data import LabelledPhotos
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.loader import training_loader, validation_loader
from geo_pipeline.training.module import GeoModule


class Numbers(pl.Callback):
    """Writes what the epoch's end knows."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GeoModule)
        numbers = {
            "train": pl_module.losses_by_name(pl_module.train_tally),
            "validation": pl_module.losses_by_name(pl_module.validation_tally),
            "accuracy": pl_module.validation_accuracy(),
        }
        trainer.save_checkpoint(self._run_dir / "ranks.ckpt")
        if trainer.is_global_zero:
            (self._run_dir / "ranks.json").write_text(json.dumps(numbers))


def main(job: TrainingJob) -> None:
    rank, world_size = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    cells = {name: read_table(path) for name, path in job.cells.items()}
    geography = Geography.from_tables(cells, read_table(job.hierarchy))
    params = job.resolved_config().model_params
    params = params.model_copy(update={"batch_size": params.batch_size // world_size})
    train, validation = (
        LabelledPhotos(read_table(path), job.shards_root, geography)
        for path in (job.training_photos, job.validation_photos)
    )
    batches = training_loader(train, params, rank=rank, world_size=world_size)
    torch.manual_seed(params.seed)
    module = GeoModule(params, geography, steps_per_epoch=len(batches), max_epochs=2)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=world_size,
        strategy="ddp" if world_size > 1 else "auto",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        callbacks=[Numbers(job.run_dir)],
        default_root_dir=job.run_dir,
    )
    trainer.fit(module, batches, validation_loader(validation, params, rank=rank, world_size=world_size))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main(TrainingJob.read(Path(sys.argv[1])))
