from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geo_pipeline.training.__main__ import main
from geo_pipeline_tests.training import small_runs


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
