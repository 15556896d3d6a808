from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from geo_pipeline.training.__main__ import main
from geo_pipeline.training.job import TrainingJob
from geo_pipeline_tests.training import small_runs
from geo_pipeline_tests.training.own_tables import write_own_tables

KILLS = 2


def test_a_mistake_is_one_message_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = small_runs.job(tmp_path)
    job.hierarchy.unlink()
    assert main(["--job", str(job.write(tmp_path / "job.json"))]) == 2
    message = capsys.readouterr().err
    assert "hierarchy.parquet" in message
    assert "Traceback" not in message


def test_a_job_file_that_is_not_there_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--job", str(tmp_path / "absent.json")]) == 2
    assert "absent.json: no such job file" in capsys.readouterr().err


def test_options_need_no_job_file_and_no_profile(tmp_path: Path) -> None:
    own = write_own_tables(tmp_path)
    assert main(own.arguments("--set", "trainer.max_epochs=1", "model.batch_size=20")) == 0
    hparams = yaml.safe_load((tmp_path / "run" / "hparams.yaml").read_text())
    assert hparams["trainer_params"]["max_epochs"] == 1
    assert hparams["model_params"]["batch_size"] == 20
    assert (tmp_path / "run" / "best.ckpt").exists()


def test_options_may_be_spelt_with_underscores(tmp_path: Path) -> None:
    own = write_own_tables(tmp_path)
    arguments = [each.replace("--validation-photos", "--validation_photos") for each in own.arguments()]
    assert main([*arguments, "--set", "trainer.max_epochs=1"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to train: give --job, or --config"),
        (["--photos", "a.csv"], "--validation-photos, --cells, --shards: missing"),
        (["--photos", "a", "--validation-photos", "b", "--cells", "c", "--shards", "d"], "--config, --output: missing"),
    ],
)
def test_options_that_are_not_enough_are_named(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_option_is_told_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--validation-foto", "x"])
    assert raised.value.code == 2
    assert "unknown argument --validation-foto; did you mean --validation-photos?" in capsys.readouterr().err


def replace_in(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text("utf-8").replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "small.yml").unlink(), r"small\.yml: no such training config"),
        (
            lambda folder: replace_in(folder / "small.yml", "max_epochs: 2", "max_epochs: none"),
            "max_epochs: found 'none'",
        ),
        (lambda folder: replace_in(folder / "small.yml", "batch_size", "batchsize"), "did you mean batch_size?"),
        (lambda folder: replace_in(folder / "photos.csv", ",middle", ",other"), r"photos\.csv: no column middle"),
        (lambda folder: replace_in(folder / "validation.csv", ",10,", ",x,"), r"validation\.csv: .*invalid value 'x'"),
        (lambda folder: replace_in(folder / "photos.csv", "1-", "z-"), "no photo is left: 40 listed, 0 downloaded"),
        (lambda folder: (folder / "fine.csv").write_text(""), r"fine\.csv"),
        (
            lambda folder: (folder / "fine.csv").write_text((folder / "fine.csv").read_text().splitlines()[0] + "\n"),
            r"fine\.csv: no cell",
        ),
        (lambda folder: replace_in(folder / "coarse.csv", "14,", "04,"), r"coarse\.csv"),
        (lambda folder: (folder / "run").write_text(""), "run.*: a file stands where a folder is needed"),
        (lambda folder: shutil.rmtree(folder / "shards"), "shards"),
    ],
)
def test_every_broken_input_is_one_message_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], break_it: Callable[[Path], None], message: str
) -> None:
    own = write_own_tables(tmp_path)
    break_it(tmp_path)
    assert main(own.arguments()) == 2
    told = capsys.readouterr().err
    assert re.search(message, told), told
    assert "Traceback" not in told


def test_cells_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = write_own_tables(tmp_path)
    (tmp_path / "more").mkdir()
    other = shutil.copy(tmp_path / "fine.csv", tmp_path / "more")
    assert main(own.arguments("--cells", str(tmp_path / "fine.csv"), str(other), without=("--cells",))) == 2
    assert "two files are called fine" in capsys.readouterr().err


def test_another_config_is_refused_and_begun_with_fresh_or_from_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, short = write_own_tables(tmp_path), ["--set", "trainer.max_epochs=1"]
    assert main(own.arguments(*short)) == 0
    other = [*short, "model.batch_size=8"]
    assert main(own.arguments(*other)) == 2
    assert "model_params.batch_size: 16 there, 8 here" in capsys.readouterr().err
    assert main(own.arguments(*other, "--from-weights", str(tmp_path / "run" / "last.ckpt"))) == 0
    hparams = yaml.safe_load((tmp_path / "run" / "hparams.yaml").read_text())
    assert hparams["started_from"].endswith("last.ckpt")
    assert main(own.arguments(*short)) == 2
    assert main(own.arguments(*short, "--fresh")) == 0


@pytest.mark.slow
def test_the_process_leaves_soon_after_sigterm_and_continues_when_called_again(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    config = job.resolved_config()
    long = config.model_copy(update={"trainer_params": config.trainer_params | {"max_epochs": 200}})
    job = job.model_copy(update={"config": long})
    command = [sys.executable, "-m", "geo_pipeline.training", "--job", str(job.write(tmp_path / "job.json"))]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not (job.run_dir / "last.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        _, message = process.communicate(timeout=20)
        assert time.monotonic() - started < 20
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in message
    assert "Traceback" not in message
    done = len(small_runs.epochs(job.run_dir))
    with subprocess.Popen(command, env=environment) as process:
        while len(small_runs.epochs(job.run_dir)) <= done:
            assert process.poll() is None
            time.sleep(0.1)
        process.kill()
    assert [line["epoch"] for line in small_runs.epochs(job.run_dir)][: done + 1] == list(range(done + 1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_process_that_is_killed_at_random_ends_with_the_numbers_of_an_undisturbed_one(
    tmp_path: Path, seed: int
) -> None:
    random = np.random.default_rng(seed)
    whole = small_runs.job(tmp_path, num_photos=600, loader={"num_workers": 2}, checkpoint_minutes=0.002)
    config = whole.resolved_config()
    config = config.model_copy(update={"trainer_params": config.trainer_params | {"max_epochs": 6}})
    whole = whole.model_copy(update={"config": config})
    killed = whole.model_copy(update={"run_dir": tmp_path / "killed"})
    commands = {
        job.run_dir.name: [sys.executable, "-m", "geo_pipeline.training", "--job", str(job.write(tmp_path / file))]
        for job, file in ((whole, "whole.json"), (killed, "killed.json"))
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
    subprocess.run(commands["run"], env=environment, check=True)
    for _ in range(KILLS):
        before = progress_of(killed)
        with subprocess.Popen(commands["killed"], env=environment) as process:
            while progress_of(killed) == before:
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.5))
            process.kill()
        assert process.returncode == -signal.SIGKILL, "it has ended by itself"
    subprocess.run(commands["killed"], env=environment, check=True)
    assert small_runs.epochs(killed.run_dir) == small_runs.epochs(whole.run_dir)
    for name in ("best.ckpt", "last.ckpt"):
        ours, theirs = (torch.load(job.run_dir / name, weights_only=True)["state_dict"] for job in (killed, whole))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def progress_of(job: TrainingJob) -> int | None:
    """What changes with each checkpoint."""
    path = job.run_dir / "last.ckpt"
    return path.stat().st_mtime_ns if path.exists() else None
