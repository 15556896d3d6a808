"""Several processes that train together, started by torchrun on this machine's CPUs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from geo_pipeline.errors import InputError
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.ranks import Agreement, num_devices, placement
from geo_pipeline_tests.command_line import wait_until
from geo_pipeline_tests.training import small_runs


@pytest.mark.parametrize(
    ("devices", "number"), [(None, 1), (1, 1), (3, 3), ([0, 2], 2), (["0"], 1), ("auto", 1), (-1, 1)]
)
def test_a_training_uses_as_many_devices_as_it_says_and_one_by_itself(devices: object, number: int) -> None:
    params = {} if devices is None else {"devices": devices}
    assert num_devices({"accelerator": "cpu", **params}) == number


@pytest.mark.parametrize("devices", [0, -2, "many", 1.5])
def test_a_number_of_devices_that_is_none_is_refused(devices: object) -> None:
    with pytest.raises(InputError, match=r"trainer_params\.devices: found .*expected a number"):
        num_devices({"devices": devices})


def test_one_process_agrees_with_itself_and_takes_one_device() -> None:
    assert Agreement().largest(15) == 15
    assert placement({"max_epochs": 1}) == {"devices": 1, "max_epochs": 1}


def test_several_devices_need_their_processes() -> None:
    with pytest.raises(InputError, match=r"devices: found 2, and one process; start the training with"):
        placement({"devices": 2})


def test_a_process_of_several_stands_where_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert placement({"devices": 2, "max_epochs": 1}) == {
        "strategy": "ddp",
        "devices": 2,
        "num_nodes": 2,
        "max_epochs": 1,
    }
    assert placement({"strategy": "fsdp"})["strategy"] == "fsdp"


OF_THE_LOSS = {"label_smoothing_km": {"coarse": 400.0}, "ema_decay": 0.8}


def job(folder: Path, run: str, devices: int, **params: Any) -> TrainingJob:
    """Batches of 16 photos in all; batch norm is frozen, so that they mean the same however they are divided."""
    made = small_runs.job(folder, run, batch_size=16 // devices, freeze_batch_norm=True, **params)
    config = made.resolved_config()
    trainer_params = config.trainer_params | {"devices": devices, "max_epochs": 3}
    return made.model_copy(update={"config": config.model_copy(update={"trainer_params": trainer_params})})


def command(made: TrainingJob, folder: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "geo_pipeline.training",
        "--job",
        str(made.write(folder / f"{made.run_dir.name}.json")),
    ]


ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")} | {
    "OMP_NUM_THREADS": "1"
}


def numbers(content: Any, prefix: str = "") -> dict[str, float]:
    """The numbers of nested mappings by dotted key."""
    if not isinstance(content, dict):
        return {} if content is None else {prefix: content}
    return {key: value for name, inner in content.items() for key, value in numbers(inner, f"{prefix}.{name}").items()}


@pytest.mark.slow
def test_two_processes_learn_what_one_does_also_when_they_were_stopped(tmp_path: Path) -> None:
    runs = {"one": 1, "two": 2, "stopped": 2}
    one, two, stopped = (job(tmp_path, name, devices, **OF_THE_LOSS) for name, devices in runs.items())
    for each in (one, two):
        subprocess.run(command(each, tmp_path), env=ENVIRONMENT, check=True)
    told = [small_runs.epochs(each.run_dir) for each in (one, two)]
    assert [line["epoch"] for line in told[1]] == [0, 1, 2]
    for alone, together in zip(*told, strict=True):
        for split in ("train", "validation"):
            assert numbers(together[split]) == pytest.approx(numbers(alone[split]), rel=1e-4)
        assert numbers(together["accuracy"]) == pytest.approx(numbers(alone["accuracy"]))
    hparams = yaml.safe_load((two.run_dir / "hparams.yaml").read_text())
    assert hparams["fingerprint"] == two.identity(num_processes=2).fingerprint

    with subprocess.Popen(command(stopped, tmp_path), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        wait_until((stopped.run_dir / "last.ckpt").exists, seconds=120)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        _, message = process.communicate(timeout=60)
    assert time.monotonic() - begun < 20
    if process.returncode:  # else the signal came when everything was done
        assert process.returncode == 128 + signal.SIGTERM
        assert message.count("stopped by SIGTERM") == 1
        assert "Traceback" not in message
    subprocess.run(command(stopped, tmp_path), env=ENVIRONMENT, check=True)
    for after_stop, undisturbed in zip(small_runs.epochs(stopped.run_dir), told[1], strict=True):
        # sums of an epoch that was interrupted are added up in another order
        assert numbers(after_stop) == pytest.approx(numbers(undisturbed), rel=1e-6)
    ours, theirs = (torch.load(each.run_dir / "best.ckpt", weights_only=True)["state_dict"] for each in (stopped, two))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_a_mistake_of_all_processes_is_told_once(tmp_path: Path) -> None:
    made = job(tmp_path, "run", 2)
    config = made.resolved_config()
    wrong = config.model_copy(update={"trainer_params": config.trainer_params | {"precision": "17-true"}})
    made = made.model_copy(update={"config": wrong})
    done = subprocess.run(command(made, tmp_path), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("Lightning refuses them") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_one_process_does_not_continue_what_two_have_begun(tmp_path: Path) -> None:
    two = job(tmp_path, "run", 2)
    subprocess.run(command(two, tmp_path), env=ENVIRONMENT, check=True)
    one = job(tmp_path, "run", 1)
    done = subprocess.run(command(one, tmp_path), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "processes: 2 there, not set here" in done.stderr
