from __future__ import annotations

import json
import math
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.training.divergence import StopWhenDiverged
from geo_pipeline.training.module import GeoModule
from geo_pipeline.training.run import train
from geo_pipeline_tests.model.made_up import geography
from geo_pipeline_tests.training import small_runs


def test_a_loss_that_is_no_number_ends_the_training_and_leaves_only_files_of_numbers(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path, optimizer={"learning_rate": 1e30}, schedule={"name": "multistep"})
    with pytest.raises(InputError, match=r"loss is not finite in epoch 1, at step [23].*learning_rate.*last\.ckpt"):
        train(job)
    lines = (job.run_dir / "metrics.jsonl").read_text().splitlines()
    assert all(math.isfinite(json.loads(line)["train"]["loss"]) for line in lines)
    for path in job.run_dir.glob("*.ckpt"):
        weights = torch.load(path, weights_only=True)["state_dict"].values()
        assert all(torch.isfinite(each).all() for each in weights)


def test_a_run_that_goes_well_is_not_disturbed_where_it_has_a_checkpoint_to_lose(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    train(job)
    before = (job.run_dir / "last.ckpt").read_bytes()
    config = job.resolved_config()
    worse = config.model_copy(
        update={"model_params": small_runs.config(optimizer={"learning_rate": 1e30}).model_params}
    )
    with pytest.raises(InputError, match="not finite"):
        train(job.model_copy(update={"config": worse, "from_weights": job.run_dir / "best.ckpt"}))
    assert (job.run_dir / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_not_saved(wrong: float) -> None:
    module = GeoModule(small_runs.config().model_params, geography(), steps_per_epoch=1, max_epochs=1)
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    StopWhenDiverged().on_save_checkpoint(trainer, module, {})
    with torch.no_grad():
        module.network.heads.bias[1] = wrong
    with pytest.raises(InputError, match="sum of the weights is not finite"):
        StopWhenDiverged().on_save_checkpoint(trainer, module, {})
