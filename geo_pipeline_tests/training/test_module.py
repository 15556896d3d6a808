from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geo_pipeline.model.checkpoint import load_network
from geo_pipeline.training.data import Batch
from geo_pipeline.training.module import GeoModule
from geo_pipeline.training.run import train
from geo_pipeline_tests.model.made_up import geography
from geo_pipeline_tests.training import small_runs


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return weights


def test_frozen_batch_norm_keeps_its_statistics_over_epochs_and_validations_and_learns_the_rest(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path, freeze_batch_norm=True)
    torch.manual_seed(job.resolved_config().model_params.seed)
    first = GeoModule(job.resolved_config().model_params, geography(), steps_per_epoch=4, max_epochs=2).state_dict()
    train(job)
    last = weights_of(job.run_dir / "last.ckpt")
    same = {name for name, value in last.items() if torch.equal(value, first[name])}
    assert {name for name in last if "running" in name or "num_batches" in name} <= same
    assert "network.heads.weight" not in same
    assert "network.backbone.norm.weight" not in same


def test_an_average_begins_with_the_weights_that_the_training_does(tmp_path: Path) -> None:
    first = small_runs.job(tmp_path, "first")
    train(first)
    begun = small_runs.job(tmp_path, "second", ema_decay=0.999, optimizer={"learning_rate": 1e-12})
    train(begun.model_copy(update={"from_weights": first.run_dir / "best.ckpt"}))
    ours, theirs = weights_of(begun.run_dir / "best.ckpt"), weights_of(first.run_dir / "best.ckpt")
    torch.testing.assert_close(ours["network.heads.weight"], theirs["network.heads.weight"])


def test_a_batch_whose_photos_were_all_damaged_teaches_nothing() -> None:
    module = GeoModule(small_runs.config().model_params, geography(), steps_per_epoch=1, max_epochs=1)
    nothing = Batch(
        torch.zeros(0, 3, 32, 32, dtype=torch.uint8), torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, 2)
    )
    loss = module.training_step(nothing)
    loss.backward()
    assert loss.item() == 0
    gradients = [weights.grad for weights in module.network.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)
    module.validation_step(nothing)
    assert module.train_tally.num_photos == module.validation_tally.num_photos == 0


@pytest.mark.slow
def test_compiled_code_learns_what_the_plain_network_does_and_can_be_loaded_without_it(tmp_path: Path) -> None:
    compiled, plain = (small_runs.job(tmp_path, str(setting), compile=setting) for setting in (True, False))
    train(compiled)
    train(plain)
    assert weights_of(compiled.run_dir / "last.ckpt").keys() == weights_of(plain.run_dir / "last.ckpt").keys()
    load_network(compiled.run_dir / "best.ckpt", torch.device("cpu"))
    ours, theirs = (small_runs.epochs(job.run_dir) for job in (compiled, plain))
    assert ours[-1]["train"]["loss"] == pytest.approx(theirs[-1]["train"]["loss"], rel=0.02)
