"""The ledger: the append-only truth about a bucket while its crawl runs.

Here lives one file of JSON lines. The first names the manifest that the crawl started from and its settings, each
further one is a photo's row, or says how many rows before it are on the disk together with their records. The one idea:
a line exists only after the record it speaks of, so whatever survives a crash can be checked against the shards.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from geo_pipeline.errors import InputError
from geo_pipeline.shards.manifest import ManifestRow, Status

_COLUMNS = tuple(field.name for field in fields(ManifestRow))
_TIMES = ("fetched_at", "next_attempt_at")


class Ledger:
    """The ledger of one bucket, locked by the process that has it open.

    `settings` is what is remembered of the settings that the rows were made with. Raises InputError if another process
    is crawling the bucket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = _open_locked(path)
        self.num_rows = 0
        self.settings: Mapping[str, str] = {}

    def begin(self, base: str, settings: Mapping[str, str]) -> None:
        """Empty the ledger and name what the coming rows are made with: the manifest, by its hash, and the settings."""
        os.ftruncate(self._descriptor, 0)
        self.num_rows = 0
        self.settings = settings
        self._write({"ledger": 1, "manifest": base, "settings": settings})

    def recover(self, base: str, settings: Mapping[str, str], is_whole: Callable[[ManifestRow, bool], bool]) -> None:
        """Cut the ledger back to the rows that a crawl from manifest `base` may continue from.

        `is_whole(row, is_durable)` says whether a row's record can be read; rows behind the last sync mark are not
        durable. The first bad line or row and everything after it goes; a ledger of another manifest goes whole and
        begins with `settings`. One that does not say its settings is taken to have these.
        """
        lines = list(self._lines())
        if not lines or (lines[0][1].get("ledger"), lines[0][1].get("manifest")) != (1, base):
            self.begin(base, settings)
            return
        self.settings = lines[0][1].get("settings", settings)
        num_durable = max((line.get("synced", 0) for _, line in lines), default=0)
        end = lines[0][0]
        for line_end, line in lines[1:]:
            if "photo_id" in line:
                if not is_whole(row_of(line), self.num_rows < num_durable):
                    break
                self.num_rows += 1
            end = line_end
        os.ftruncate(self._descriptor, end)

    def append(self, row: ManifestRow) -> None:
        """Record a photo's row; its record must be in the shard already."""
        values = ((name, getattr(row, name)) for name in _COLUMNS)  # `asdict` copies, which takes longer than all else
        self._write({name: value for name, value in values if value is not None})
        self.num_rows += 1

    def mark_synced(self, num_rows: int) -> None:
        """Say that the first `num_rows` rows have their records on the disk, and wait until the disk knows."""
        self._write({"synced": num_rows})
        os.fsync(self._descriptor)

    def rows(self) -> Iterator[ManifestRow]:
        """The recorded rows in the order of recording."""
        return (row_of(line) for _, line in self._lines() if "photo_id" in line)

    def close(self) -> None:
        """Release the file and its lock; closing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Delete the ledger: its rows stand in the manifest."""
        self.path.unlink()
        self.close()

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, default=datetime.isoformat, ensure_ascii=False, separators=(",", ":")) + "\n"
        content = text.encode("utf-8", "surrogatepass")
        if os.write(self._descriptor, content) < len(content):
            raise OSError(28, "No space left on device", str(self.path))

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(end in bytes, content) of each whole line up to the first damaged one."""
        end = 0
        with self.path.open("rb") as stream:
            for line in stream:
                end += len(line)
                try:
                    content = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    return
                if not isinstance(content, dict):
                    return
                yield end, content


def _open_locked(path: Path) -> int:
    """Open for appending, alone."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise InputError(
                f"{path.parent}: another process is crawling this bucket; wait for it or stop it"
            ) from error
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # its last owner finished and deleted it between our two calls


def row_of(line: dict[str, Any]) -> ManifestRow:
    """The row that a line of a ledger holds."""
    times = {name: datetime.fromisoformat(line[name]) for name in _TIMES if name in line}
    return ManifestRow(**{**line, **times, "status": Status(line["status"])})
