"""What was read of large input files, remembered so that looking again costs a `stat`.

The one idea: git's. A file whose size, time of change and inode are the remembered ones holds what it held; one that
changed a moment ago is not trusted yet. Losing the memory costs one reading.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from geo_pipeline.store import file_hash, write_json

YOUNG_SECONDS = 2.0
"""A file changed so shortly ago may change again without a new time of change."""


class InputMemory:
    """Content hashes of files and what was computed from them, kept in a JSON file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._read()
        self._used: dict[str, Any] = {}

    def hash_of(self, file: Path) -> str:
        """Hex SHA-256 of a file's content. Raises OSError if it cannot be read."""
        return str(self.recall(f"file {_mark([file])}", lambda: file_hash(file), is_settled=_is_old([file])))

    def folder_mark(self, folder: Path) -> tuple[str, bool]:
        """(names, sizes and times of all files below a folder as text to compare, whether they can be trusted yet)."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return _mark(files), _is_old(files)

    def recall(self, key: str, make: Callable[[], Any], *, is_settled: bool = True) -> Any:  # noqa: ANN401 -- JSON
        """The remembered value of a key, else a made one, which is remembered unless its source is too young."""
        value = self._known[key] if key in self._known else make()
        if is_settled:
            self._used[key] = value
        return value

    def save(self) -> None:
        """Keep what was used since this was opened, and forget the rest."""
        if self._used != self._known:
            write_json(self._path, self._used)
            self._known = dict(self._used)

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _mark(files: Iterable[Path]) -> str:
    """Paths, sizes, times of change and inodes of some files."""
    stats = [(path, path.stat()) for path in files]
    return json.dumps([[str(path), each.st_size, each.st_mtime_ns, each.st_ino] for path, each in stats])


def _is_old(files: Iterable[Path]) -> bool:
    return all(time.time() - path.stat().st_mtime > YOUNG_SECONDS for path in files)
