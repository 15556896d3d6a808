from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from geo_pipeline.training.stopping import StopSignals, TrainingInterruptedError
from geo_pipeline_tests.command_line import wait_until

LISTENING = """
import os, signal, sys, time
from geo_pipeline.training.stopping import StopSignals
with StopSignals(int(sys.argv[1])) as signals:
    signals.is_deferred = True
    for name in sys.argv[2:]:
        os.kill(os.getpid(), signal.Signals[name])
print("still here after", signal.Signals(signals.received).name)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_deferred_signal_is_only_remembered(number: signal.Signals) -> None:
    with StopSignals() as signals:
        signals.is_deferred = True
        os.kill(os.getpid(), number)
        assert signals.received == number


def test_a_signal_that_is_not_deferred_is_an_error_at_once() -> None:
    with StopSignals() as signals, pytest.raises(TrainingInterruptedError, match="stopped by SIGTERM") as raised:
        os.kill(os.getpid(), signal.SIGTERM)
    assert raised.value.signal_number == signals.received == signal.SIGTERM


def test_handlers_are_given_back_and_can_be_taken_again_from_others() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopSignals() as signals:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signals.listen()
        signals.is_deferred = True
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_thread_than_the_main_one_hears_nothing_and_harms_nothing() -> None:
    before = signal.getsignal(signal.SIGTERM)
    heard: list[int | None] = []

    def listen() -> None:
        with StopSignals() as signals:
            heard.append(signals.received)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert heard == [None]
    assert signal.getsignal(signal.SIGTERM) == before


def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LISTENING, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("signals", [["SIGINT"], ["SIGTERM", "SIGTERM", "SIGTERM"], ["SIGTERM", "SIGINT"]])
def test_one_interrupt_and_any_number_of_sigterms_are_waited_for(signals: list[str]) -> None:
    assert ended("1", *signals).stdout == f"still here after {signals[0]}\n"


@pytest.mark.parametrize(
    ("patience", "signals"), [(1, ["SIGINT", "SIGINT"]), (2, ["SIGINT", "SIGTERM", *["SIGINT"] * 2])]
)
def test_an_interrupt_more_than_is_waited_for_ends_the_process_at_once(patience: int, signals: list[str]) -> None:
    done = ended(str(patience), *signals)
    assert done.returncode == -signal.SIGINT
    assert done.stdout == ""


def test_a_process_leaves_when_its_parent_is_killed(tmp_path: Path) -> None:
    child = (
        "import time\n"
        "from geo_pipeline.training.stopping import StopSignals, TrainingInterruptedError, leave_with_parent\n"
        "try:\n"
        "    with StopSignals():\n"
        "        leave_with_parent()\n"
        f"        open({str(tmp_path / 'ready')!r}, 'w').close()\n"
        "        time.sleep(60)\n"
        "except TrainingInterruptedError as error:\n"
        f"    open({str(tmp_path / 'left')!r}, 'w').write(str(error))\n"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        wait_until((tmp_path / "ready").exists, seconds=20)
        process.kill()
    wait_until((tmp_path / "left").exists, seconds=10)
    assert "SIGTERM" in (tmp_path / "left").read_text()
