"""The shard file: MessagePack maps one after another, each `{"id": str, "image": bytes}`.

Here live appending, sequential reading and the packing of one record. Random access by offset is in `reader.py`; the
meaning of a photo's row is in `manifest.py`. The one idea: a shard has no header, no footer and no index, so that any
prefix that ends with a record is itself a shard, and any MessagePack reader can read it.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgpack

from geo_pipeline.errors import InputError
from geo_pipeline.shards.messagepack import object_end

MAX_RECORD_BYTES = 256 * 1024 * 1024
"""No record is longer: a damaged length field must not ask for more memory than this."""

_KEYS = (b"\xa2id", b"\xa5image")
_RECORD_HEAD = re.compile(rb"[\x82-\x8f](?:\xa2id|\xa5image)")
_LONGEST_HEAD = 7


class DamagedRecordError(InputError):
    """A record that cannot be read; the message names the file and the offset."""

    def __init__(self, shard: Path, offset: int, found: str) -> None:
        self.found = found
        super().__init__(
            f"{shard}: damaged record at byte {offset}: {found}; expected a MessagePack map with 'id' and 'image'. "
            f"Remove this file and materialize photo_shards for its bucket again: only its photos are fetched anew"
        )


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One photo in a shard; `offset` and `length` span its whole MessagePack map, in bytes."""

    photo_id: str
    image: bytes
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class DamagedRegion:
    """Bytes of a shard that hold no readable record, and what was found there."""

    shard: Path
    offset: int
    length: int
    found: str

    def __str__(self) -> str:
        return f"{self.shard}: {self.length:,} damaged bytes at byte {self.offset}: {self.found}"


class ShardWriter:
    """Appends records to one shard.

    Opens `path` at byte `start`: what follows is cut off, which is how a crawl returns to its last recorded photo.
    Every record has reached the operating system when `append` returns (a killed process loses none of them), and the
    disk when `sync` returns.
    """

    def __init__(self, path: Path, start: int = 0) -> None:
        self.path = path
        self.size = start
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        os.ftruncate(self._descriptor, start)
        os.lseek(self._descriptor, start, os.SEEK_SET)

    def append(self, photo_id: str, image: bytes) -> tuple[int, int]:
        """Write one record and return its (offset, length) in bytes."""
        record = pack_record(photo_id, image)
        offset = self.size
        _write_whole(self._descriptor, record)
        self.size += len(record)
        return offset, len(record)

    def sync(self) -> None:
        """Return when every appended record is on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file without waiting for the disk; closing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def pack_record(photo_id: str, image: bytes) -> bytes:
    """The MessagePack map of one photo."""
    packed: bytes = msgpack.packb({"id": photo_id, "image": image})
    return packed


def unpack_record(packed: bytes | memoryview, shard: Path, offset: int) -> tuple[str, bytes]:
    """The (photo id, image) of one packed record.

    `shard` and `offset` say where it was read, for the message. Raises DamagedRecordError.
    """
    try:
        record = msgpack.unpackb(packed, unicode_errors="surrogateescape")
    except ValueError as error:
        raise DamagedRecordError(shard, offset, str(error) or type(error).__name__) from error
    return _fields(record, shard, offset)


def iterate_shard(path: Path, *, skip_damaged: Callable[[DamagedRegion], None] | None = None) -> Iterator[ShardRecord]:
    """The records of a shard in file order, from a file mapped into memory.

    Reads every MessagePack file of maps with `id` and `image`, whatever else the maps hold and whether the image was
    packed as `bin` or, by an old packer, as `raw`. Raises DamagedRecordError at the first record that is not whole;
    with `skip_damaged` it goes on at the next readable record that begins with its `id` or its `image`, and tells of
    what lies between. A picture whose bytes were damaged is still a record: only the manifest knows its hash.
    """
    if not path.stat().st_size:
        return
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if skip_damaged:
            yield from _readable_records(content, path, skip_damaged)
            return
        offset = 0
        while offset < len(content):
            record = _record_at(content, offset, path)
            yield record
            offset += record.length


def _readable_records(content: mmap.mmap, shard: Path, tell: Callable[[DamagedRegion], None]) -> Iterator[ShardRecord]:
    """The readable records, telling of what lies between.

    A record is held back until the next one is read: if that fails, the length of the first may be the damaged one.
    """
    offset, held = 0, None
    while offset < len(content):
        try:
            record = _record_at(content, offset, shard)
            _refuse_swallowed(content, record, shard)
        except DamagedRecordError as error:
            begin = offset
            if held and (inside := _next_record(content, held.offset + 1, offset, shard)) < offset:
                begin, end = held.offset, inside
            else:
                yield from [held] if held else []
                end = _next_record(content, offset + 1, len(content), shard)
            tell(DamagedRegion(shard, begin, end - begin, error.found))
            offset, held = end, None
        else:
            if held:
                yield held
            offset, held = offset + record.length, record
    if held:
        yield held


def _record_at(content: mmap.mmap, offset: int, shard: Path) -> ShardRecord:
    """The record that begins at `offset`. Raises DamagedRecordError."""
    try:
        end = object_end(content, offset)
    except ValueError as error:
        raise DamagedRecordError(shard, offset, str(error)) from error
    if end - offset > MAX_RECORD_BYTES:
        raise DamagedRecordError(shard, offset, f"it is {end - offset:,} bytes long")
    return ShardRecord(*unpack_record(content[offset:end], shard, offset), offset, end - offset)


def _refuse_swallowed(content: mmap.mmap, record: ShardRecord, shard: Path) -> None:
    """Raise DamagedRecordError if another record lies inside: then a damaged length has swallowed it."""
    end = record.offset + record.length
    has_more = any(content.find(key, content.find(key, record.offset) + 1, end) >= 0 for key in _KEYS)
    if has_more and _next_record(content, record.offset + 1, end, shard) < end:
        raise DamagedRecordError(shard, record.offset, "its length covers the records that follow")


def _next_record(content: mmap.mmap, start: int, end: int, shard: Path) -> int:
    """Where the first readable record from `start` on begins; `end` if none begins before."""
    for match in _RECORD_HEAD.finditer(content, start, end + _LONGEST_HEAD - 1):
        with suppress(DamagedRecordError):
            _record_at(content, match.start(), shard)
            return match.start()
    return end


def _fields(record: object, shard: Path, offset: int) -> tuple[str, bytes]:
    """The id and the image of an unpacked record."""
    if isinstance(record, dict):  # matching the patterns would cost as much as unpacking
        photo_id, image = record.get("id"), record.get("image")
        if isinstance(photo_id, str) and isinstance(image, bytes):
            return photo_id, image
        if isinstance(photo_id, str) and isinstance(image, str):  # packed before MessagePack had a type for bytes
            return photo_id, image.encode("utf-8", "surrogateescape")
    raise DamagedRecordError(shard, offset, f"found {type(record).__name__} {str(record)[:60]!r}")


def _write_whole(descriptor: int, content: bytes) -> None:
    """Write all of `content`: one call may write less than asked for when the disk is nearly full."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
