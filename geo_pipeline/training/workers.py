"""The processes that decode photos.

Here live how many there are, how they begin and how they end. The one idea: a worker serves one training and has no
will of its own: it does not hear the signals that ask the training to stop, it is killed when the training is done
with it, and it does not outlive a training that was killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

import torch
from torch.utils.data import DataLoader

from geo_pipeline.training.config import LoaderSettings

MAX_WORKERS = 16


def num_workers(settings: LoaderSettings, device: torch.device) -> int:
    """How many workers a training process on this device has.

    Where the processor trains, a worker would only take from the training what it gives to it.
    """
    if settings.num_workers != "auto":
        return settings.num_workers
    if device.type == "cpu":
        return 0
    processes_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
    return max(0, min(_usable_cores() // processes_here - 1, MAX_WORKERS))


def _usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def worker_context() -> BaseContext:
    """How workers are started: forked from a clean process that has loaded what they need.

    A fork of the training process would copy its threads' locks and the accelerator's state, and its end would
    interrupt the training with a signal.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["geo_pipeline.training.pictures"])
    _start_deaf_server()
    return context


def _start_deaf_server() -> None:
    """Start the process that forks workers with the signals blocked that stop a training: its children inherit that.

    A worker blocks them itself as well, but a signal may come before its first moment.
    """
    resource_tracker.ensure_running()  # started later it would unblock them
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)


def begin_worker(_: int) -> None:
    """Leave the signals that stop a training to it, and end when its process does, whatever ends that."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    training = multiprocessing.parent_process()
    if training is not None:
        threading.Thread(target=_end_with, args=(training,), name="end-with-training", daemon=True).start()


def _end_with(training: BaseProcess) -> None:
    """Wait for the end of the training process and end this one, also in the middle of a batch."""
    wait([training.sentinel])
    os._exit(1)


def kill_workers(loader: DataLoader[object]) -> None:
    """End a loader's workers at once, also in the middle of a batch; without any it does nothing."""
    iterator = loader._iterator  # noqa: SLF001 # torch has no other way to reach them
    for worker in getattr(iterator, "_workers", ()):
        worker.kill()
