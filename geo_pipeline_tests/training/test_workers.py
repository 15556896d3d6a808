"""Workers as processes: how many, what they hear, and that they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.training.config import LoaderSettings
from geo_pipeline.training.loader import training_loader
from geo_pipeline.training.workers import num_workers
from geo_pipeline_tests.training.test_loader import labelled, with_loader

ENDLESS = """
import sys, time

if __name__ == "__main__":  # workers import this file
    from pathlib import Path
    from geo_pipeline.training.loader import training_loader
    from geo_pipeline_tests.training.test_loader import labelled, with_loader

    loader = training_loader(labelled(Path(sys.argv[1]), 600), with_loader(num_workers=2, prefetch_batches=40))
    batches = iter(loader)
    next(batches)
    print(*(worker.pid for worker in loader._loader._iterator._workers), flush=True)
    {then}
"""
"""A process that has its workers in the middle of many batches."""


@contextmanager
def endless(folder: Path, then: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The process and its workers' process ids."""
    script = folder / "endless.py"
    script.write_text(ENDLESS.replace("{then}", then), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            yield process, [int(word) for word in process.stdout.readline().split()]
        finally:
            process.kill()


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def seconds_to_end(pids: list[int]) -> float:
    begun = time.monotonic()
    while any(is_running(pid) for pid in pids) and time.monotonic() < begun + 30:
        time.sleep(0.01)
    return time.monotonic() - begun


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_workers_do_not_outlive_a_training_that_was_killed(tmp_path: Path) -> None:
    with endless(tmp_path, "time.sleep(60)") as (process, workers):
        assert len(workers) == 2
        process.kill()
        assert seconds_to_end(workers) < 3


@pytest.mark.slow
@linux
def test_a_process_that_ends_does_not_wait_for_its_workers(tmp_path: Path) -> None:
    with endless(tmp_path, "batches = None") as (process, workers):
        begun = time.monotonic()
        assert process.wait(30) == 0
        assert time.monotonic() - begun < 5
        assert seconds_to_end(workers) < 1


@pytest.mark.slow
@linux
def test_signals_that_stop_a_training_do_not_stop_its_workers(tmp_path: Path) -> None:
    then = "time.sleep(1); print(sum(len(batch.images) for batch in batches), flush=True)"
    with endless(tmp_path, then) as (process, workers):
        for number in (signal.SIGINT, signal.SIGTERM):
            for pid in workers:
                os.kill(pid, number)
        assert process.stdout
        assert int(process.stdout.readline()) == 600 - 8
        assert process.wait(30) == 0


@pytest.mark.slow
def test_a_killed_worker_ends_the_training_with_what_to_do(tmp_path: Path) -> None:
    loader = training_loader(labelled(tmp_path, 2000), with_loader(num_workers=2, prefetch_batches=1))
    batches = iter(loader)
    next(batches)
    os.kill(loader._loader._iterator._workers[0].pid, signal.SIGKILL)
    with pytest.raises(InputError, match=r"was killed, perhaps because memory ran out: set .*num_workers"):
        list(batches)


def test_the_number_of_workers_is_the_settings_or_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert [num_workers(LoaderSettings(num_workers=3), device) for device in (cpu, gpu)] == [3, 3]
    assert num_workers(LoaderSettings(), cpu) == 0
    for cores, processes, expected in ((1, 1, 0), (4, 1, 3), (16, 4, 3), (64, 1, 16)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert num_workers(LoaderSettings(), gpu) == expected


def test_a_worker_loads_what_it_needs_and_nothing_heavy() -> None:
    heavy = ["lightning", "torchvision", "pyarrow", "pandas", "dagster", "cv2"]
    code = f"import sys, geo_pipeline.training.pictures; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
