"""One `materialize` at a time for each profile: a lock that says who holds it and that dies with its holder.

Here lives the lock file; what it protects does not. The one idea: the kernel keeps the lock (flock), so it is gone
the moment its holder is, however that ended; the words in the file only say whose it is, and words that are left in
a free file tell that their writer was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.5


class LockedError(RuntimeError):
    """Somebody else holds the lock and the caller does not want to wait."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    pid: int
    host: str
    since: str
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}: {self.command}"


def this_process() -> Holder:
    """The words of the calling process."""
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Holder(os.getpid(), socket.gethostname(), since, " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))


@contextmanager
def exclusive(path: Path, *, wait: bool, on_wait: Callable[[str], None]) -> Iterator[Holder | None]:
    """Hold the lock at `path` for the length of the block; gives the holder before, if that one was killed.

    While another process holds it: waits, after telling `on_wait` once who that is, or raises LockedError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        _take(stream, wait=wait, on_wait=on_wait)
        killed = _read(stream)
        _write(stream, json.dumps(asdict(this_process())))
        try:
            yield killed
        finally:
            _write(stream, "")


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the lock together with others for the length of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        yield


def wait_until_free(path: Path, timeout_seconds: float) -> bool:
    """Wait until nobody holds a lock, at most so long; whether it is free."""
    deadline = time.monotonic() + timeout_seconds
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        while not _try(stream):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
    return True


def _take(stream: IO[str], *, wait: bool, on_wait: Callable[[str], None]) -> None:
    """Take the lock, now or later."""
    if _try(stream):
        return
    holder = _read(stream) or "another process"
    if not wait:
        raise LockedError(str(holder))
    on_wait(str(holder))
    while not _try(stream):
        time.sleep(POLL_SECONDS)


def _try(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(stream: IO[str]) -> Holder | None:
    stream.seek(0)
    try:
        return Holder(**json.loads(stream.read()))
    except (ValueError, TypeError):
        return None


def _write(stream: IO[str], text: str) -> None:
    stream.seek(0)
    stream.truncate()
    stream.write(text)
    stream.flush()
