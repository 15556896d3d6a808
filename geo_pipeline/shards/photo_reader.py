"""Stored photos by their id, or one after another.

Here lives the mapping photo id -> picture over a folder of shards. Not here: records by offset (reader.py) and the
format (format.py). The one idea: the index is a few sorted arrays, not Python objects, so that millions of ids cost
tens of bytes each, are shared by forked workers, and travel to others as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.errors import InputError
from geo_pipeline.shards.format import DamagedRecordError, DamagedRegion, iterate_shard
from geo_pipeline.shards.reader import ShardReader
from geo_pipeline.store import read_table

MANIFEST = "manifest.parquet"
_COLUMNS = ["photo_id", "shard", "offset", "length"]
_SCHEMA = pa.schema(list(zip(_COLUMNS, (pa.binary(), pa.string(), pa.int64(), pa.int64()), strict=True)))
_BATCH_ROWS = 4096


class PhotoReader(Mapping[str, bytes]):
    """The stored photos of a manifest: `reader["photo id"]` is the JPEG, iteration is in file order.

    `manifest` needs `photo_id, shard, offset, length`; `shard` is a path below `root`, null where nothing is stored.
    Of an id that stands there more than once the first place counts. A reader can be pickled for worker processes.
    """

    def __init__(self, manifest: pa.Table, root: Path) -> None:
        self._shards = ShardReader(root)
        self._index = _index(manifest.select(_COLUMNS).cast(_SCHEMA))

    @classmethod
    def open(cls, folder: Path, *, skip_damaged: Callable[[DamagedRegion], None] | None = None) -> Self:
        """The photos below a folder: of a download, a bucket, or a whole photo set with its buckets.

        Where there is no manifest the `*.msg` files are read once to find their photos; `skip_damaged` is for this, as
        in `iterate_shard`. Raises InputError if there are no shards, DamagedRecordError for a damaged one.
        """
        return cls(places_below(folder, skip_damaged=skip_damaged), folder)

    def __getitem__(self, photo_id: str) -> bytes:
        """The picture of a photo.

        Raises KeyError if it is not stored, InputError if its shard is gone, DamagedRecordError naming file and offset.
        """
        row = self._index.row(photo_id)
        if row is None:
            raise KeyError(photo_id)
        return self._image(photo_id, row)

    def __contains__(self, photo_id: object) -> bool:
        return isinstance(photo_id, str) and self._index.row(photo_id) is not None

    def __len__(self) -> int:
        return len(self._index.shard)

    def __iter__(self) -> Iterator[str]:
        return (photo_id for photo_id, _ in self._index.in_file_order())

    def photos(self, *, skip_damaged: Callable[[DamagedRegion], None] | None = None) -> Iterator[tuple[str, bytes]]:
        """(photo id, picture) of every photo in file order.

        Raises as indexing does; with `skip_damaged` a damaged record is told of and left out.
        """
        for photo_id, row in self._index.in_file_order():
            try:
                image = self._image(photo_id, row)
            except DamagedRecordError as error:
                if skip_damaged is None:
                    raise
                shard, offset, length = self._index.place(row)
                skip_damaged(DamagedRegion(self._shards.root / shard, offset, length, error.found))
            else:
                yield photo_id, image

    def close(self) -> None:
        """Release the mapped files; the reader can be used again."""
        self._shards.close()

    def _image(self, photo_id: str, row: int) -> bytes:
        shard, offset, length = self._index.place(row)
        found, image = self._shards.record(shard, offset, length)
        if found != photo_id:
            raise DamagedRecordError(self._shards.root / shard, offset, f"holds photo {found}, not {photo_id}")
        return image


def places_below(folder: Path, *, skip_damaged: Callable[[DamagedRegion], None] | None = None) -> pa.Table:
    """`photo_id` (binary, UTF-8), `shard` (a path below the folder, null where nothing is stored), `offset`, `length`.

    The folder and the errors are those of `PhotoReader.open`.
    """
    manifests = sorted([*folder.glob(MANIFEST), *folder.glob(f"*/{MANIFEST}")])
    if manifests:
        return pa.concat_tables(_below(path, folder) for path in manifests)
    shards = sorted(folder.glob("*.msg"))
    if not shards:
        raise InputError(f"{folder}: neither a {MANIFEST} nor a shard (*.msg) is there; name a folder of shards")
    return _read_places(shards, skip_damaged)


@dataclass(frozen=True)
class _Index:
    """Where each photo lies. All arrays have one element for each photo, in the order of the ids' bytes.

    `ids`: large_binary, UTF-8; `shard`: int32[n], numbers of `names`; `offset`, `length`: int64[n], bytes.
    """

    ids: pa.LargeBinaryArray
    names: list[str]
    shard: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]

    def row(self, photo_id: str) -> int | None:
        """The row of a photo, by binary search; None if it is not stored."""
        wanted = photo_id.encode("utf-8", "surrogateescape")
        row = bisect_left(range(len(self.ids)), wanted, key=lambda k: self.ids[k].as_py())
        return row if row < len(self.ids) and self.ids[row].as_py() == wanted else None

    def place(self, row: int) -> tuple[str, int, int]:
        """(shard, offset, length) of a row."""
        return self.names[self.shard[row]], int(self.offset[row]), int(self.length[row])

    def in_file_order(self) -> Iterator[tuple[str, int]]:
        """(photo id, row) of all rows, by shard and offset."""
        order = np.lexsort((self.offset, self.shard))
        for first in range(0, len(order), _BATCH_ROWS):
            rows = order[first : first + _BATCH_ROWS]
            for photo_id, row in zip(self.ids.take(pa.array(rows)).to_pylist(), rows.tolist(), strict=True):
                yield photo_id.decode("utf-8", "surrogateescape"), row


def _index(places: pa.Table) -> _Index:
    """The index of a table of places."""
    stored = places.filter(pc.is_valid(places["shard"]))
    ids = stored["photo_id"].cast(pa.large_binary()).combine_chunks()
    order = pc.sort_indices(ids)  # a stable sort: of equal ids the first row stays the first
    ids = ids.take(order)
    is_first = np.ones(len(ids), bool)
    is_first[1:] = pc.not_equal(ids.slice(1), ids.slice(0, max(len(ids) - 1, 0)))
    kept = order.filter(pa.array(is_first))
    names = sorted(pc.unique(stored["shard"]).to_pylist())
    shard = pc.index_in(stored["shard"], pa.array(names, stored["shard"].type)).cast(pa.int32())
    columns = [column.take(kept).to_numpy() for column in (shard, stored["offset"], stored["length"])]
    return _Index(ids.filter(pa.array(is_first)), names, *columns)


def _below(manifest: Path, folder: Path) -> pa.Table:
    """The places of a manifest, its shards named from `folder`."""
    table = read_table(manifest)
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(f"{manifest}: columns {', '.join(missing)} are missing; expected the manifest of a download")
    if manifest.parent != folder:
        named = pc.binary_join_element_wise(manifest.parent.relative_to(folder).as_posix(), table["shard"], "/")
        table = table.set_column(table.schema.get_field_index("shard"), "shard", named)
    return table.select(_COLUMNS).cast(_SCHEMA)


def _read_places(shards: Sequence[Path], skip_damaged: Callable[[DamagedRegion], None] | None) -> pa.Table:
    """The places of all records of some shards of one folder, found by reading them."""
    tables = []
    for path in shards:
        places = [
            (record.photo_id.encode("utf-8", "surrogateescape"), path.name, record.offset, record.length)
            for record in iterate_shard(path, skip_damaged=skip_damaged)
        ]
        columns = list(zip(*places, strict=True)) or [()] * len(_COLUMNS)
        tables.append(pa.table(columns, schema=_SCHEMA))
    return pa.concat_tables(tables)
