from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from geo_pipeline.model.checkpoint import SECTION
from geo_pipeline_tests.training import small_runs

HERE = "geo_pipeline_tests.training.ranks"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", HERE]


def run(folder: Path, command: list[str], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The numbers and the checkpoint of a run of `ranks`."""
    options = {"freeze_batch_norm": True, "label_smoothing_km": {"coarse": 400.0}, "ema_decay": 0.8}
    job = small_runs.job(folder, name, **options)
    job.run_dir.mkdir()
    file = job.write(folder / f"{name}.json")
    subprocess.run([sys.executable, *command, str(file)], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return json.loads((job.run_dir / "ranks.json").read_text()), torch.load(
        job.run_dir / "ranks.ckpt", weights_only=True
    )


def flat(numbers: dict[str, Any]) -> dict[str, float]:
    """The numbers of nested mappings by dotted key."""
    found = {}
    for key, value in numbers.items():
        inner = flat(value) if isinstance(value, dict) else {"": value}
        found |= {f"{key}.{name}": number for name, number in inner.items()}
    return found


@pytest.mark.slow
def test_two_processes_learn_what_one_does_from_the_same_photos(tmp_path: Path) -> None:
    together, both = run(tmp_path, TORCHRUN, "two")
    alone, one = run(tmp_path, ["-m", HERE], "one")
    assert flat(together) == pytest.approx(flat(alone), rel=1e-5)
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(both["state_dict"][name], value, rtol=1e-4, atol=1e-6)
    tally, theirs = (content[SECTION]["train_tally"] for content in (both, one))
    assert tally["num_photos"] == theirs["num_photos"] == 2 * 60
    assert torch.equal(tally["counts"], theirs["counts"])
    assert len(set(tally["counts"].tolist())) > 1  # heads differ in how many photos they have
