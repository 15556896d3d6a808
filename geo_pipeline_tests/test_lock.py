"""The lock between real processes: a holder in a child process, and this process as the one who comes second."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from geo_pipeline.lock import LockedError, exclusive, shared, wait_until_free

HOLD = """
import sys
from pathlib import Path
from geo_pipeline.lock import exclusive, shared
path = Path(sys.argv[2])
holding = shared(path) if sys.argv[1] == "shared" else exclusive(path, wait=True, on_wait=print)
with holding:
    print("holding", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "some.lock"


@contextmanager
def holder(path: Path, kind: str = "exclusive") -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its standard input is closed."""
    command = [sys.executable, "-c", HOLD, kind, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process


def test_who_does_not_want_to_wait_is_told_which_process_and_command_hold_it(path: Path) -> None:
    waited: list[str] = []
    with (
        holder(path) as other,
        pytest.raises(LockedError) as error,
        exclusive(path, wait=False, on_wait=waited.append),
    ):
        pytest.fail("the lock was taken twice")
    assert f"process {other.pid} on " in str(error.value)
    assert str(error.value).endswith(f": -c exclusive {path}")
    assert waited == []


def test_who_waits_is_told_once_who_holds_it_and_gets_it_at_the_end(path: Path) -> None:
    waited: list[str] = []
    with holder(path) as other:
        assert other.stdin is not None
        threading.Timer(0.8, other.stdin.close).start()
        begun = time.monotonic()
        with exclusive(path, wait=True, on_wait=waited.append) as killed:
            assert 0.5 < time.monotonic() - begun < 5
            assert killed is None
    assert len(waited) == 1
    assert waited[0].startswith(f"process {other.pid} on ")


def test_a_clean_end_leaves_no_words(path: Path) -> None:
    with exclusive(path, wait=False, on_wait=print) as killed:
        assert killed is None
        assert path.read_text("utf-8") != ""
    assert path.read_text("utf-8") == ""
    with pytest.raises(ValueError, match="ends early"), exclusive(path, wait=False, on_wait=print):
        raise ValueError("ends early")
    with exclusive(path, wait=False, on_wait=print) as killed:
        assert killed is None


def test_a_killed_holder_is_named_to_the_next_one_and_to_no_other(path: Path) -> None:
    with holder(path) as other:
        other.kill()
        other.wait()
        with exclusive(path, wait=False, on_wait=print) as killed:
            assert killed is not None
            assert killed.pid == other.pid
            assert killed.command == f"-c exclusive {path}"
    with exclusive(path, wait=False, on_wait=print) as killed:
        assert killed is None


def test_words_that_a_killed_writer_left_unfinished_are_nobodys(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"pid": 1, "ho', encoding="utf-8")
    with exclusive(path, wait=False, on_wait=print) as killed:
        assert killed is None


def test_several_share_a_lock_that_is_free_after_the_last_one(path: Path) -> None:
    with holder(path, "shared") as first, holder(path, "shared") as second, shared(path):
        assert not wait_until_free(path, 0)
        first.kill()
        assert second.stdin is not None
        second.stdin.close()
        second.wait()
        assert not wait_until_free(path, 0)
    assert wait_until_free(path, 0)


def test_waiting_for_a_free_lock_ends_with_the_last_holder_or_with_the_time(path: Path) -> None:
    with holder(path, "shared") as other:
        begun = time.monotonic()
        assert not wait_until_free(path, 0.6)
        assert 0.6 <= time.monotonic() - begun < 3
        threading.Timer(0.6, other.kill).start()
        assert wait_until_free(path, 10)
    assert wait_until_free(path, 0)
