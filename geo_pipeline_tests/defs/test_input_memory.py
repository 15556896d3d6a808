"""What is remembered of large files, and when it is not trusted; files and times are real."""

from __future__ import annotations

import json
import os
import shutil
import time
from hashlib import sha256
from pathlib import Path

import pytest

from geo_pipeline.defs.input_memory import YOUNG_SECONDS, InputMemory


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that was changed an hour ago."""
    path = tmp_path / "list.csv"
    path.write_text("one", encoding="utf-8")
    return aged(path)


def aged(path: Path, seconds: float = 3600) -> Path:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))
    return path


def hash_now(file: Path) -> str:
    """The hash that a memory of its own gives, kept for the next one."""
    memory = InputMemory(file.with_name("observed.json"))
    found = memory.hash_of(file)
    memory.save()
    return found


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def test_a_file_with_the_same_size_time_and_inode_is_not_read_again(file: Path) -> None:
    times = file.stat()
    assert hash_now(file) == digest("one")
    with file.open("r+", encoding="utf-8") as stream:
        stream.write("two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert hash_now(file) == digest("one")


@pytest.mark.parametrize("change", ["time", "size", "inode"])
def test_a_file_with_another_size_time_or_inode_is_read_again(file: Path, change: str) -> None:
    times = file.stat()
    assert hash_now(file) == digest("one")
    text = "other" if change == "size" else "two"
    if change == "inode":
        shutil.copy(file, kept := file.with_name("kept.csv"))
        file.rename(file.with_name("before.csv"))
        kept.rename(file)
    file.write_text(text, encoding="utf-8")
    moment = times.st_mtime_ns + (1 if change == "time" else 0)
    os.utime(file, ns=(moment, moment))
    assert hash_now(file) == digest(text)


def test_a_file_that_changed_a_moment_ago_is_not_trusted(file: Path) -> None:
    aged(file, YOUNG_SECONDS / 4)
    times = file.stat()
    assert hash_now(file) == digest("one")
    file.write_text("two", encoding="utf-8")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert hash_now(file) == digest("two")


@pytest.mark.parametrize("content", [None, "", "{", "[]", "not JSON", b"\xff\xfe\x00"])
def test_a_lost_or_damaged_memory_costs_one_reading(file: Path, content: str | bytes | None) -> None:
    hash_now(file)
    memory = file.with_name("observed.json")
    if content is None:
        memory.unlink()
    else:
        memory.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert hash_now(file) == digest("one")
    assert list(json.loads(memory.read_text("utf-8")).values()) == [digest("one")]


def test_what_was_not_asked_for_is_forgotten(file: Path) -> None:
    other = aged(Path(shutil.copy(file, file.with_name("other.csv"))))
    memory = InputMemory(file.with_name("observed.json"))
    memory.hash_of(file)
    memory.hash_of(other)
    memory.save()
    hash_now(other)
    (key,) = json.loads(file.with_name("observed.json").read_text("utf-8"))
    assert str(other) in key


def test_nothing_is_written_where_nothing_changed(file: Path) -> None:
    hash_now(file)
    memory = file.with_name("observed.json")
    before = memory.stat()
    hash_now(file)
    after = memory.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_value_is_made_once_and_remembered_if_it_is_settled(tmp_path: Path) -> None:
    made: list[str] = []

    def make(key: str) -> list[int]:
        made.append(key)
        return [1, 2]

    for _ in range(3):
        memory = InputMemory(tmp_path / "observed.json")
        assert memory.recall("settled", lambda: make("settled")) == [1, 2]
        assert memory.recall("young", lambda: make("young"), is_settled=False) == [1, 2]
        memory.save()
    assert made == ["settled", "young", "young", "young"]


def test_a_file_that_is_not_there_is_an_error_and_not_remembered(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        hash_now(tmp_path / "absent.csv")
    assert not (tmp_path / "observed.json").exists()


def test_the_mark_of_a_folder_changes_with_its_files_and_is_trusted_once_they_are_old(tmp_path: Path) -> None:
    memory, pictures = InputMemory(tmp_path / "observed.json"), tmp_path / "pictures"
    (pictures / "below").mkdir(parents=True)
    (pictures / "a.jpg").write_bytes(b"a")
    marks = [memory.folder_mark(pictures), memory.folder_mark(pictures)]
    (pictures / "below" / "b.jpg").write_bytes(b"b")
    marks.append(memory.folder_mark(pictures))
    aged(pictures / "a.jpg")
    marks.append(memory.folder_mark(pictures))
    aged(pictures / "below" / "b.jpg")
    marks.append(memory.folder_mark(pictures))
    (pictures / "a.jpg").unlink()
    marks.append(memory.folder_mark(pictures))
    assert marks[0] == marks[1]
    assert len({mark for mark, _ in marks}) == 5
    assert [is_trusted for _, is_trusted in marks] == [False, False, False, False, True, True]
