"""`python -m geo_pipeline_tests.training.killed`: trainings in children that are killed (-9) in one of their steps.

A process that has computed gradients cannot fork one that shall, so this one never trains itself. It reads lines `STEP
JOB.json`, steps counted from 0, and answers each with the number of the signal that ended the child, 0 if none did.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.module import GeoModule
from geo_pipeline.training.run import train
from geo_pipeline_tests.training.disturbances import at_call, random_losses, saving_often, stop


def main() -> None:
    """Answer until there is no more to read."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        step, path = line.split(maxsplit=1)
        child = os.fork()
        if child == 0:
            train_and_die(TrainingJob.read(Path(path.strip())), int(step))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\n")
        sys.stdout.flush()


def train_and_die(job: TrainingJob, step: int) -> None:
    """Train, saving after each step, and be killed in one of them."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # answers are the parent's
    try:
        with random_losses(), saving_often(), at_call(GeoModule, "training_step", step, stop(signal.SIGKILL)):
            train(job)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
