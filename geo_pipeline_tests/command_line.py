"""`geo-pipeline` as a person runs it: a process of its own, with all that it starts in one process group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

COMMAND = (sys.executable, "-m", "geo_pipeline.cli")


def geo_pipeline(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The finished command."""
    environment = environment_of(home)
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environment, check=False)


@contextmanager
def started(home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The running command, its two outputs as one; its whole group is gone after the block."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment_of(home),
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def environment_of(home: Path) -> dict[str, str]:
    """The environment of a command whose data folder is `home`."""
    return {**os.environ, "GEO_PIPELINE_HOME": str(home), "GEO_PIPELINE_PROFILE": "", "DAGSTER_HOME": ""}


def group_is_gone(process: subprocess.Popen[str]) -> bool:
    """Whether nothing that a started command has started is left."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for a condition, and fail if it does not come true in time; how long it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "waited in vain"
        time.sleep(0.05)
    return time.monotonic() - begun


@contextmanager
def instance_of(home: Path, profile: str = "small") -> Iterator[dg.DagsterInstance]:
    """The Dagster instance that a command has written."""
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home / profile / "dagster"))) as instance:
        yield instance


def run_statuses(home: Path, profile: str = "small") -> list[dg.DagsterRunStatus]:
    """How the runs of a profile ended, the newest first."""
    with instance_of(home, profile) as instance:
        return [run.status for run in instance.get_runs()]
