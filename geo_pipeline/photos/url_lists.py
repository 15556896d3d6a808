"""URL lists: which photos a set has and where each can be had.

Here lives the reading of a list (CSV, or a folder of pictures with its metadata) and its division into buckets. Not
here: downloading. The one idea: a photo's bucket is a stable hash of its id, so that adding a photo changes one
bucket only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.errors import InputError
from geo_pipeline.photos.csv_rows import CsvRows, first_of_each, read_csv_rows, read_first_row
from geo_pipeline.photos.rejects import Reject, rejects_table
from geo_pipeline.store import file_hash

URL_LIST_SCHEMA = pa.schema(
    [pa.field("photo_id", pa.string(), nullable=False), pa.field("url", pa.string(), nullable=False)]
)
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True)
class UrlList:
    """The photos of a list, `URL_LIST_SCHEMA` ordered by photo id, and its bad rows.

    `removed` are listed photos that must not be kept: they are not among `photos`.
    """

    photos: pa.Table
    rejects: pa.Table
    removed: pa.Table = field(default_factory=URL_LIST_SCHEMA.empty_table)


def id_hashes(photo_ids: Iterable[str]) -> np.ndarray:
    """uint64[n]: the first eight bytes of each id's MD5, big-endian; the same on every machine for ever."""
    digests = b"".join(hashlib.md5(i.encode(), usedforsecurity=False).digest()[:8] for i in photo_ids)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def bucket_numbers(photo_ids: pa.ChunkedArray, num_buckets: int) -> np.ndarray:
    """int64[n]: the bucket of each photo, 0..num_buckets-1, from the hash of its id alone."""
    return (id_hashes(photo_ids.to_pylist()) % np.uint64(num_buckets)).astype(np.int64)


def keep_photos(table: pa.Table, max_photos: int | None) -> pa.Table:
    """The `max_photos` rows whose photo ids have the smallest hashes, in the order they stand; all rows if None.

    Lists and metadata cut by the same rule keep the same photos, and a larger trial contains a smaller one.
    """
    if max_photos is None or table.num_rows <= max_photos:
        return table
    chosen = np.argsort(id_hashes(table["photo_id"].to_pylist()), kind="stable")[:max_photos]
    return table.take(pa.array(np.sort(chosen)))


def read_url_csv(photo_set: str, path: Path) -> UrlList:
    """Read a CSV `image_id,url`, with or without that header.

    Rows with an empty id or URL, a doubled id or a wrong number of values are rejected. Raises InputError if the
    file cannot be read at all.
    """
    names = URL_LIST_SCHEMA.names
    read = read_csv_rows(path, names, header=has_header(path), wanted=names)
    reasons = bad_rows(read)
    rejects = [
        *read.rejects,
        *(Reject(int(read.rows[i]), read.columns["photo_id"][i].as_py(), reason) for i, reason in reasons.items()),
    ]
    good = np.setdiff1d(np.arange(read.columns.num_rows), np.array(list(reasons), dtype=np.int64))
    photos = read.columns.take(pa.array(good)).cast(URL_LIST_SCHEMA).sort_by("photo_id")
    return UrlList(photos, rejects_table(photo_set, path, rejects))


def has_header(path: Path) -> bool:
    """Whether a URL list begins with a header. Raises InputError if it cannot be read or has not two columns."""
    first = read_first_row(path)
    if len(first) != len(URL_LIST_SCHEMA):
        raise InputError(f"{path}, row 1: expected `image_id,url`, found {len(first)} values: {','.join(first)[:80]}")
    return first[1].strip().lower() == "url"


def bad_rows(read: CsvRows) -> dict[int, str]:
    """The reason for each row that cannot be used, by its index."""
    first = first_of_each(read.columns["photo_id"].combine_chunks())
    doubled = np.flatnonzero(first != np.arange(len(first)))
    reasons = {int(i): f"doubled id: stands already in row {read.rows[first[i]]}" for i in doubled}
    reasons |= dict.fromkeys(_empty(read.columns["url"]), "empty URL")
    return reasons | dict.fromkeys(_empty(read.columns["photo_id"]), "empty photo id")


def _empty(texts: pa.ChunkedArray) -> list[int]:
    """Indices of texts that are empty or white space."""
    return [int(i) for i in np.flatnonzero(pc.equal(pc.utf8_trim_whitespace(texts), "").to_numpy())]


def list_folder(photo_set: str, folder: Path, metadata_ids: Iterable[str]) -> UrlList:
    """The photos of a folder of pictures: every id of its metadata and every picture found, in any depth.

    The photo id is the path below the folder, and so is the `url`. An id without a file stays on the list, so that
    the manifest says `not_found` of it. Raises InputError if the folder is absent.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; supply the pictures of {photo_set} or correct `image_dir`")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    ids = sorted({path.relative_to(folder).as_posix() for path in found} | set(metadata_ids))
    return UrlList(pa.table([ids, ids], schema=URL_LIST_SCHEMA), rejects_table(photo_set, folder, []))


def with_content_hashes(photos: pa.Table, folder: Path) -> pa.Table:
    """The photos of a folder with `source_sha256`: the hash of each file's bytes, null where there is no file.

    So the list of a folder changes when a picture does, as a list of URLs cannot.
    """
    paths = [folder / name for name in photos["url"].to_pylist()]
    hashes = [file_hash(path) if path.is_file() else None for path in paths]
    return photos.append_column("source_sha256", pa.array(hashes, pa.string()))
