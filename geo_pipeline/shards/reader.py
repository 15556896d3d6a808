"""Random access to photos in shards, through the offsets that the manifest knows.

Here lives the memory-mapped reader that training uses from many worker processes. Sequential reading is in
`format.py`. The one idea: a reader is its root folder and a cache; pickling sends only the folder.
"""

from __future__ import annotations

import mmap
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geo_pipeline.errors import InputError
from geo_pipeline.shards.format import DamagedRecordError, unpack_record

MAX_OPEN_SHARDS = 256
"""Memory maps kept at once: each holds a file descriptor, of which a process commonly has 1,024."""


class Places(NamedTuple):
    """Where n pictures lie: shards int32[n], indices into a list of shards; offsets and lengths int64[n], bytes."""

    shards: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


class ShardReader:
    """Reads records of the shards under `root` by (shard, offset, length); picklable, for worker processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._maps: OrderedDict[str, tuple[Path, mmap.mmap]] = OrderedDict()

    def image(self, shard: str, offset: int, length: int) -> bytes:
        """The encoded picture of the record at `offset`.

        `shard` is a path relative to the root. Raises InputError if the file is absent, DamagedRecordError if the
        record is not whole.
        """
        return self.record(shard, offset, length)[1]

    def record(self, shard: str, offset: int, length: int) -> tuple[str, bytes]:
        """The (photo id, encoded picture) of the record at `offset`; raises as `image` does."""
        path, mapped = self._maps.get(shard) or self._open(shard)
        packed = mapped[offset : offset + length]
        if len(packed) < length:
            raise DamagedRecordError(path, offset, f"the file ends after {len(mapped)} bytes")
        return unpack_record(packed, path, offset)

    def close(self) -> None:
        """Release every map; the reader can be used again."""
        while self._maps:
            self._maps.popitem()[1][1].close()

    def _open(self, shard: str) -> tuple[Path, mmap.mmap]:
        """Map a shard, releasing the one opened longest ago if there are too many."""
        path = self.root / shard
        try:
            with path.open("rb") as stream:
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise InputError(
                f"{path}: the shard is not there; materialize photo_shards for its bucket again"
            ) from error
        except ValueError as error:
            raise DamagedRecordError(path, 0, "the file is empty") from error
        if len(self._maps) >= MAX_OPEN_SHARDS:
            self._maps.popitem(last=False)[1][1].close()
        self._maps[shard] = path, mapped
        return path, mapped

    def __getstate__(self) -> Path:
        return self.root

    def __setstate__(self, root: Path) -> None:
        self.root = root
        self._maps = OrderedDict()
