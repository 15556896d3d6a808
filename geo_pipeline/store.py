"""The one way files are written: whole or not at all.

Here live atomic writes of bytes, text, JSON, CSV, Parquet tables and whole folders, and hashes of tables and files. Not
here: the layout of folders (profile.py) and what the files mean. The one idea: write a temporary file in the same
folder, fsync, rename, fsync the folder; a reader never sees half a file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from geo_pipeline.errors import InputError


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that gets the name `path` only when the block ends without an error.

    Raises OSError (no space, no permission) with the final path as its file name; the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # its folder may never have come to be
            temporary.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed writers have left in a folder; nobody may be writing there."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (a rename is not, until its folder is synced)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_file(path) as stream:
        stream.write(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically, indented, keys in the order given."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files atomically: none of them gets its name before the bytes of all are on the disk."""
    with ExitStack() as files:
        for path, content in contents.items():
            _refuse_folder(path)
            stream = files.enter_context(atomic_file(path))
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())


def write_folder(path: Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write a folder of files as a whole: it is built beside `path` and gets its name when all bytes are on the disk.

    contents: (path below the folder, bytes) of each file. A folder that stands at `path` is replaced, with all that is
    in it. Raises OSError with `path` as its file name; then what stood there still does.
    """
    unique = f"{os.getpid()}.{secrets.token_hex(4)}"
    new, old = (path.with_name(f".{path.name}.{unique}.{kind}") for kind in ("tmp", "old"))
    try:
        new.mkdir(parents=True)
        for name, content in contents:
            _write_new_file(new / name, content)
        for folder in {new, *(each for each in new.rglob("*") if each.is_dir())}:
            sync_folder(folder)
        _take_the_place(new, path, old)
        sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)


def _write_new_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _take_the_place(new: Path, path: Path, old: Path) -> None:
    """Rename `new` to `path`; what stands there is moved to `old` first, as no rename replaces a folder with files."""
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet table atomically; equal tables give equal bytes."""
    with atomic_file(path) as stream:
        pq.write_table(table, stream, compression="zstd")


def write_csv(path: Path, table: pa.Table) -> None:
    """Write a table as CSV with a header, atomically; only values that need quotes have them."""
    write_bytes(path, csv_bytes(table))


@contextmanager
def table_stream(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """A function that appends to a table on disk, CSV or Parquet by the ending of `path`, atomically.

    All tables given to it must have the same schema. In CSV only values that need quotes have them.
    """
    _refuse_folder(path)
    with atomic_file(path) as stream, ExitStack() as writers:
        writer: pq.ParquetWriter | None = None

        def append(table: pa.Table) -> None:
            nonlocal writer
            if path.suffix.lower() == ".csv":
                stream.write(_csv_rows(table) if stream.tell() else csv_bytes(table))
                return
            writer = writer or writers.enter_context(pq.ParquetWriter(stream, table.schema, compression="zstd"))
            writer.write_table(table)

        yield append


def csv_bytes(table: pa.Table) -> bytes:
    """A table as CSV with a header, quotes only around values that need them."""
    header = pa.table({str(number): [name] for number, name in enumerate(table.column_names)})
    return _csv_rows(header) + _csv_rows(table)


def _csv_rows(table: pa.Table) -> bytes:
    """The rows as CSV; without any quotes if none is needed, as Arrow puts them around all texts or none.

    Chunks are combined: for an empty one at the beginning Arrow 26 writes whatever is in its memory.
    """
    table = table.combine_chunks()
    for style in ("none", "needed"):
        with suppress(pa.ArrowInvalid):
            sink = pa.BufferOutputStream()
            csv.write_csv(table, sink, csv.WriteOptions(include_header=False, quoting_style=style))
            return bytes(sink.getvalue())
    raise AssertionError("Arrow quotes whatever it is given")


def _refuse_folder(path: Path) -> None:
    """Raise OSError if a folder stands where a file is to be written: no rename would take its place."""
    if path.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def read_table(path: Path) -> pa.Table:
    """Read a Parquet table. Raises InputError naming the file if it is absent or not Parquet."""
    with _table_errors(path), pq.ParquetFile(path) as file:  # `pq.read_table` loads Arrow's engine for data sets: 55 MB
        return file.read()


def read_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Read some columns of a Parquet table. Raises as `read_table` does, and InputError if one of them is missing."""
    with _table_errors(path), pq.ParquetFile(path) as file:
        missing = [name for name in names if name not in file.schema_arrow.names]
        if missing:
            raise InputError(f"{path}: columns {', '.join(missing)} are missing; it has {file.schema_arrow.names}")
        return file.read(columns=list(names))


def num_rows(path: Path) -> int:
    """The number of rows of a Parquet table, without reading it. Raises as `read_table` does."""
    with _table_errors(path):
        return int(pq.read_metadata(path).num_rows)


@contextmanager
def _table_errors(path: Path) -> Iterator[None]:
    """Errors of reading a table, told as what they are."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: the table is not there; materialize the asset that makes it first") from error
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet table ({error}); remove it and materialize its asset again") from error


def table_hash(table: pa.Table) -> str:
    """Hex SHA-256 of a table's schema and values, the same however its memory is cut into chunks."""
    plain = table.replace_schema_metadata(None).take(np.arange(table.num_rows)).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def file_hash(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_hash(text: str) -> str:
    """Hex SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
