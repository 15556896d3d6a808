"""The one way files are written: whole or not at all.

Here live atomic writes of bytes, text, JSON, CSV and Parquet tables, and hashes of tables and files. Not here: the
layout of folders (profile.py) and what the files mean. The one idea: write a temporary file in
the same folder, fsync, rename, fsync the folder; a reader never sees half a file.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet table atomically; equal tables give equal bytes."""
    with atomic_file(path) as stream:
        pq.write_table(table, stream, compression="zstd")


def write_csv(path: Path, table: pa.Table) -> None:
    """Write a table as CSV with a header, atomically."""
    with atomic_file(path) as stream:
        csv.write_csv(table, stream)


def read_table(path: Path) -> pa.Table:
    """Read a Parquet table. Raises InputError naming the file if it is absent or not Parquet."""
    with _table_errors(path), pq.ParquetFile(path) as file:  # `pq.read_table` loads Arrow's engine for data sets: 55 MB
        return file.read()


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
