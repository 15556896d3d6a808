"""What a command costs: wall time, processor time and memory of all its processes (Linux).

Here lives running a command and watching it. The one idea: processor time comes from the kernel's own accounts when the
processes end, memory from looking at them while they run. (The accounts have a peak as well, but a child's begins with
the size of the process that started it.)
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of processors (user and system), and the peak of memory in bytes."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Run:
    """What it cost to download `num_photos`, and `num_few` right before, which is the cost of starting and ending."""

    num_photos: int
    whole: Cost
    num_few: int
    start: Cost

    @property
    def photos_per_second(self) -> float:
        """Of the whole command."""
        return self.num_photos / self.whole.wall_seconds

    @property
    def steady_photos_per_second(self) -> float:
        """Without start and end."""
        return (self.num_photos - self.num_few) / (self.whole.wall_seconds - self.start.wall_seconds)

    @property
    def cpu_per_thousand(self) -> float:
        """Processor seconds for 1,000 photos, of the whole command."""
        return 1000 * self.whole.cpu_seconds / self.num_photos

    @property
    def steady_cpu_per_thousand(self) -> float:
        """Processor seconds for 1,000 photos, without start and end."""
        return 1000 * (self.whole.cpu_seconds - self.start.cpu_seconds) / (self.num_photos - self.num_few)

    @property
    def megabytes(self) -> float:
        """Peak of memory."""
        return self.whole.peak_bytes / 1e6


def cost_of(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Cost:
    """Run a command to its end, with its output in `log`. Raises RuntimeError with the log's end if it fails."""
    begun = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    with MemoryWatch(process.pid) as memory:
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, memory.peak_bytes)


class MemoryWatch(threading.Thread):
    """Looks at a process and its descendants from time to time.

    `peak_bytes` is the largest sum of their shares of memory (PSS), or the largest resident size that the kernel has
    seen of any one of them, also between two looks, if that is more.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(name="memory watch", daemon=True)
        self.peak_bytes = 0
        self._pid = pid
        self._has_ended = threading.Event()

    def run(self) -> None:
        """The thread's body."""
        while not self._has_ended.wait(LOOK_SECONDS):
            pids = list(family(self._pid))
            share = sum(kilobytes(pid, "smaps_rollup", "Pss") for pid in pids)
            peak = max(kilobytes(pid, "status", "VmHWM") for pid in pids)
            self.peak_bytes = max(self.peak_bytes, 1024 * share, 1024 * peak)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self.join()


def family(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    try:
        listed = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has ended
        return
    for child in " ".join(listed).split():
        yield from family(int(child))


def kilobytes(pid: int, file: str, name: str) -> int:
    """A number that the kernel tells about a process; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0
