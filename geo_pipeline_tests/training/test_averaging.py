from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geo_pipeline.model.checkpoint import AVERAGED_PREFIX, NETWORK_PREFIX, load_network, network_weights
from geo_pipeline.model.network import GeoModel
from geo_pipeline.training.averaging import AveragedNetwork, decay_at
from geo_pipeline.training.run import train
from geo_pipeline_tests.training import small_runs


def test_the_average_is_the_sum_of_all_steps_weighted_by_what_later_ones_kept() -> None:
    network = GeoModel("small_resnet", (4,))
    averaged = AveragedNetwork(network, decay=0.5)
    history = [network.heads.weight.detach().clone()]
    for step in range(12):
        with torch.no_grad():
            network.heads.weight.normal_()
        averaged.update(network, step)
        history.append(network.heads.weight.detach().clone())
    decays = [decay_at(step, 0.5) for step in range(12)]
    expected = torch.zeros_like(history[0])
    for step, weights in enumerate(history):
        own = 1.0 if step == 0 else 1 - decays[step - 1]
        expected += weights * own * torch.tensor(decays[step:]).prod()
    torch.testing.assert_close(averaged.network.heads.weight, expected)
    assert decays[-1] == 0.5
    assert decays[0] == 0.1


def test_statistics_of_batch_norm_are_averaged_and_its_counts_taken() -> None:
    network = GeoModel("small_resnet", (4,))
    averaged = AveragedNetwork(network, decay=0.99)
    network(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    averaged.update(network, 0)
    ours, theirs = averaged.network.backbone.norm, network.backbone.norm
    torch.testing.assert_close(ours.running_mean, 0.9 * theirs.running_mean)  # they began at 0
    assert ours.num_batches_tracked == theirs.num_batches_tracked == 1


def test_the_average_learns_nothing_by_itself() -> None:
    averaged = AveragedNetwork(GeoModel("small_resnet", (4,)), decay=0.9)
    assert not any(weights.requires_grad for weights in averaged.parameters())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    job = small_runs.job(tmp_path_factory.mktemp("averaged"), ema_decay=0.9)
    train(job)
    return job.run_dir


def test_the_best_checkpoint_holds_the_averaged_weights_alone_and_the_last_one_both(run: Path) -> None:
    best, last = (torch.load(run / name, weights_only=True) for name in ("best.ckpt", "last.ckpt"))
    assert all(key.startswith(NETWORK_PREFIX) for key in best["state_dict"])
    learning = {key for key in last["state_dict"] if key.startswith(NETWORK_PREFIX)}
    averaged = {key for key in last["state_dict"] if key.startswith(AVERAGED_PREFIX)}
    assert len(learning) == len(averaged) == len(best["state_dict"])
    kept = network_weights(last)
    assert any(not torch.equal(kept[key], last["state_dict"][NETWORK_PREFIX + key]) for key in kept)
    assert small_runs.epochs(run)[1]["validation"]["loss"] < small_runs.epochs(run)[0]["validation"]["loss"]
    assert all(torch.equal(best["state_dict"][NETWORK_PREFIX + key], kept[key]) for key in kept)


def test_both_checkpoints_predict_with_the_averaged_weights(run: Path) -> None:
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    best, last = (load_network(run / name, torch.device("cpu")).network(images) for name in ("best.ckpt", "last.ckpt"))
    assert all(torch.equal(a, b) for a, b in zip(best, last, strict=True))
