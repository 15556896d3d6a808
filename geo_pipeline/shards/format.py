"""The shard file: MessagePack maps one after another, each `{"id": str, "image": bytes}`.

Here live appending, sequential reading and the packing of one record. Random access by offset is in `reader.py`; the
meaning of a photo's row is in `manifest.py`. The one idea: a shard has no header, no footer and no index, so that any
prefix that ends with a record is itself a shard, and any MessagePack reader can read it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgpack

from geo_pipeline.errors import InputError

MAX_RECORD_BYTES = 256 * 1024 * 1024
"""No record is longer: a damaged length field must not ask for more memory than this."""


class DamagedRecordError(InputError):
    """A record that cannot be read; the message names the file and the offset."""

    def __init__(self, shard: Path, offset: int, found: str) -> None:
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


def iterate_shard(path: Path) -> Iterator[ShardRecord]:
    """The records of a shard in file order.

    Reads every MessagePack file of maps with `id` and `image`, whatever else the maps hold and whether the image was
    packed as `bin` or, by an old packer, as `raw`. Raises DamagedRecordError at the first record that is not whole.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        unpacker = msgpack.Unpacker(stream, max_buffer_size=MAX_RECORD_BYTES, unicode_errors="surrogateescape")
        offset = 0
        while offset < size:
            try:
                record = unpacker.unpack()
            except (ValueError, msgpack.OutOfData, msgpack.BufferFull) as error:
                raise DamagedRecordError(path, offset, str(error) or "the file ends inside it") from error
            photo_id, image = _fields(record, path, offset)
            end = unpacker.tell()
            yield ShardRecord(photo_id, image, offset, end - offset)
            offset = end


def _fields(record: object, shard: Path, offset: int) -> tuple[str, bytes]:
    """The id and the image of an unpacked record."""
    match record:
        case {"id": str(photo_id), "image": bytes(image)}:
            return photo_id, image
        case {"id": str(photo_id), "image": str(image)}:  # packed before MessagePack had a type for bytes
            return photo_id, image.encode("utf-8", "surrogateescape")
    raise DamagedRecordError(shard, offset, f"found {type(record).__name__} {str(record)[:60]!r}")


def _write_whole(descriptor: int, content: bytes) -> None:
    """Write all of `content`: one call may write less than asked for when the disk is nearly full."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
