"""Leaving when asked to: SIGINT (Ctrl-C, Dagster's stop) and SIGTERM.

Here lives what a signal does to a process that trains. Not here: saving (callbacks.py). The one idea: a signal only
says that the process shall leave; while the training runs it does so where nothing is lost, before and after at once.
It imports no torch, so that a process listens before the seconds that torch takes to come in.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any, Self

PATIENCE = 1
"""How many SIGINTs ask; the next one means it."""

POLL_SECONDS = 1.0


class TrainingInterruptedError(Exception):
    """A training that was asked to leave; `signal_number` says how. What can be saved is saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}; the next run continues from here")
        self.signal_number = signal_number


class StopSignals:
    """What became of SIGINT and SIGTERM since the block began; a context manager.

    `received`: the first signal, None as long as there is none. While `is_deferred`, whoever trains looks there and
    leaves; else the signal raises TrainingInterruptedError where the process is. After more than `patience` SIGINTs the
    process leaves at once, saved or not. Only a main thread can listen; in others nothing is ever received.
    """

    def __init__(self, patience: int = PATIENCE) -> None:
        self.received: int | None = None
        self.is_deferred = False
        self._patience = patience
        self._num_interrupts = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.getsignal(number)
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        while self._previous and threading.current_thread() is threading.main_thread():
            signal.signal(*self._previous.popitem())

    def listen(self) -> None:
        """Take the signals, also from somebody who has taken them in the meantime."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._receive)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._num_interrupts += number == signal.SIGINT
        if self._num_interrupts > self._patience:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        is_first = self.received is None
        self.received = self.received or number
        if is_first and not self.is_deferred:
            raise TrainingInterruptedError(number)


def leave_with_parent() -> None:
    """Send this process SIGTERM when the process that started it is gone, however that ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="leave-with-parent", daemon=True).start()
