"""The shards of a bucket and the manifest that indexes them, kept in step.

Here live the names of a bucket's shards, and the rewriting of shards that hold more than the manifest knows of (a photo
was dropped or replaced). The one idea: a shard that a manifest names is never changed. New shards are written under new
names, then the manifest is replaced, then what it no longer names is deleted; a crash in between leaves files that the
next start deletes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.shards.format import ShardWriter, unpack_record

_PREFIX = "shard-"


def shard_name(number: int, prefix: str = _PREFIX) -> str:
    """The file name of a bucket's shard."""
    return f"{prefix}{number:05d}.msg"


@dataclass(frozen=True)
class ShardFiles:
    """The shards of one bucket: files of `folder` whose names begin with `prefix`, which no other bucket's do."""

    folder: Path
    prefix: str = _PREFIX

    def name(self, number: int) -> str:
        """The file name of a shard."""
        return shard_name(number, self.prefix)

    def next_number(self) -> int:
        """A number higher than that of any shard there is."""
        return max((int(path.stem.removeprefix(self.prefix)) for path in self.paths()), default=-1) + 1

    def paths(self) -> list[Path]:
        """All shards there are."""
        return list(self.folder.glob(f"{self.prefix}*.msg"))

    def sizes(self) -> dict[str, int]:
        """Name -> bytes of all shards there are."""
        return {path.name: path.stat().st_size for path in self.paths()}

    def delete_unnamed(self, named: set[str]) -> None:
        """Delete the shards that neither the manifest nor the ledger names."""
        for path in self.paths():
            if path.name not in named:
                path.unlink()


def named_shards(manifest: pa.Table) -> set[str]:
    """The shards that a manifest names."""
    return set(pc.unique(manifest["shard"].drop_null()).to_pylist())


def compact(files: ShardFiles, manifest: pa.Table, records_per_shard: int) -> pa.Table:
    """The manifest after its live records were copied out of every shard that also holds dead ones.

    The new shards are on the disk when it returns; the old ones are still there, for the manifest that names them.
    """
    wasteful = _wasteful_shards(files.folder, manifest)
    if not wasteful:
        return manifest
    moving = pc.fill_null(pc.is_in(manifest["shard"], pa.array(sorted(wasteful), pa.string())), False)
    rows = [i for i, moves in enumerate(moving.to_pylist()) if moves]
    columns = {name: manifest[name].to_pylist() for name in ("shard", "offset", "length")}
    for first in range(0, len(rows), records_per_shard):
        _copy_records(files, rows[first : first + records_per_shard], columns)
    for name, values in columns.items():
        index = manifest.schema.get_field_index(name)
        manifest = manifest.set_column(index, manifest.schema.field(index), pa.array(values, manifest[name].type))
    return manifest


def _wasteful_shards(folder: Path, manifest: pa.Table) -> set[str]:
    """The named shards that hold more bytes than the manifest's records in them."""
    live = manifest.group_by("shard").aggregate([("length", "sum")]).to_pydict()
    return {
        shard
        for shard, length in zip(live["shard"], live["length_sum"], strict=True)
        if shard is not None and (folder / shard).stat().st_size > length
    }


def _copy_records(files: ShardFiles, rows: list[int], columns: dict[str, list[int | str]]) -> None:
    """Copy the records of some rows into one new shard and write their new places into the columns."""
    folder, name = files.folder, files.name(files.next_number())
    with ShardWriter(folder / name) as writer:
        for row in rows:
            source, offset, length = folder / str(columns["shard"][row]), columns["offset"][row], columns["length"][row]
            with source.open("rb") as stream:
                stream.seek(int(offset))
                photo_id, image = unpack_record(stream.read(int(length)), source, int(offset))
            columns["offset"][row], columns["length"][row] = writer.append(photo_id, image)
            columns["shard"][row] = name
        writer.sync()
