"""What disturbs a training in the tests: signals in any call, losses that no order of steps could repeat by chance."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from geo_pipeline.training import callbacks
from geo_pipeline.training.module import GeoModule


@contextmanager
def random_losses() -> Iterator[None]:
    """Multiply each step's loss by a random number of torch's global generator, as dropout would change it."""
    plain = GeoModule.training_step

    def noisy(self: GeoModule, batch: Any) -> Tensor:
        return plain(self, batch) * (1 + torch.rand(()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GeoModule, "training_step", noisy)
        yield


@contextmanager
def at_call(target: object, name: str, number: int, action: Callable[[], None]) -> Iterator[list[int]]:
    """Do something at the beginning of one of the calls of a function, counted from 0; gives how many there were."""
    plain, count = getattr(target, name), [0]

    @functools.wraps(plain)  # Lightning looks at the arguments of steps
    def counting(*arguments: Any, **named: Any) -> Any:
        count[0] += 1
        if count[0] == number + 1:
            action()
        return plain(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, name, counting)
        yield count


def stop(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


@contextmanager
def saving_often() -> Iterator[None]:
    """A checkpoint after each step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks.RunFiles, "is_due", lambda _: True)
        yield
