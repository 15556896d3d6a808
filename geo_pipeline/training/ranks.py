"""Several processes that train together: which one this is, what they agree upon, and starting them with torchrun.

Here lives what one of them knows of the others. Not here: the loss over all of them (loss.py) and their shares of the
photos (order.py). The one idea: what happens between steps (a save, leaving) happens in all of them after the same
step, so they agree upon it; files are the first one's business.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from geo_pipeline.errors import InputError
from geo_pipeline.training.job import TrainingJob

_LEFT_TO_TORCHRUN = "SIGHUP"  # a signal that it takes itself; SIGINT and SIGTERM are ours
_FAILED = 1


def rank() -> int:
    """The number of this process among those that train together, from 0; torchrun says so."""
    return int(os.environ.get("RANK", "0"))


def num_ranks() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def placement(trainer_params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of Lightning's Trainer that say where this process stands among the others.

    Raises InputError where several devices are asked for and nobody has started their processes.
    """
    if num_ranks() > 1:
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        devices = {} if isinstance(trainer_params.get("devices"), list) else {"devices": here}
        return {"strategy": "ddp", **trainer_params, **devices, "num_nodes": num_ranks() // here}
    if num_devices(trainer_params) > 1:
        raise InputError(
            f"trainer_params.devices: found {trainer_params['devices']}, and one process; start the training with "
            "geo-pipeline train, python -m geo_pipeline.training or torchrun -m geo_pipeline.training"
        )
    return {"devices": 1, **trainer_params}


def num_devices(trainer_params: Mapping[str, Any]) -> int:
    """How many devices of this machine a training shall use; one unless it says so. Raises InputError for nonsense."""
    wanted = trainer_params.get("devices", 1)
    if isinstance(wanted, list):
        return len(wanted)
    if wanted in {"auto", -1}:
        import torch

        return max(torch.cuda.device_count(), 1) if trainer_params.get("accelerator") != "cpu" else 1
    if not isinstance(wanted, int) or wanted < 1:
        raise InputError(f"trainer_params.devices: found {wanted!r}, expected a number, a list of numbers, auto or -1")
    return wanted


class Agreement:
    """What all processes know of each other at a step; of one process, what it knows itself."""

    def __init__(self) -> None:
        self._group: Any = None

    def largest(self, value: int) -> int:
        """The largest of all processes' values; each of them must ask, at the same step."""
        if num_ranks() == 1:
            return value
        import torch
        from torch import distributed

        # of its own, over the network: asking the devices would wait for what they still compute
        self._group = self._group or distributed.new_group(backend="gloo")
        values = torch.tensor(value)
        distributed.all_reduce(values, distributed.ReduceOp.MAX, self._group)
        return int(values)


def train_in_processes(jobs: Sequence[TrainingJob], num_processes: int) -> int:
    """Train jobs one after another in so many processes of this machine; the exit code of the first that failed.

    A signal is passed on to all of them, who leave together after saving; in their own sessions they do not hear a
    terminal's Ctrl-C.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes tell it themselves
    files = [str(job.write(Path(job.run_dir) / "job.json")) for job in jobs]
    start = ["--standalone", "--nproc-per-node", str(num_processes), "--signals-to-handle", _LEFT_TO_TORCHRUN]
    try:
        with _passed_on():
            arguments = torchrun.parse_args([*start, "-m", "geo_pipeline.training", "--job", *files])  # type: ignore[no-untyped-call]
            torchrun.run(arguments)  # type: ignore[no-untyped-call]
    except SignalException as error:
        return 128 + error.sigval
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else _FAILED
    return 0


@contextmanager
def _passed_on() -> Iterator[None]:
    """Let the first SIGINT or SIGTERM end torchrun, which passes it on; its repetition must not disturb that."""
    from torch.distributed.elastic.multiprocessing.api import SignalException

    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            raise SignalException(f"got signal {number}", signal.Signals(number))

    previous = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
