"""Another number of buckets for a photo set: rows and records move, no request is made.

Here live the steps on disk: locks, the swap, its completion after a kill. Not here: the copying of rows and records
(regrouping.py), and which bucket a photo belongs to, which is an argument. The one idea: the new buckets are built
whole in a hidden folder beside the old ones, then two renames put them in place; whatever moment a kill comes at, the
old set or the new one is complete, and the names tell which.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from geo_pipeline import store
from geo_pipeline.crawl.ledger import Ledger
from geo_pipeline.crawl.regrouping import regroup
from geo_pipeline.crawl.storage import LEDGER, MANIFEST, read_manifest
from geo_pipeline.errors import InputError

BucketOf = Callable[[pa.ChunkedArray, int], np.ndarray]
"""(photo ids, number of buckets) -> int64[n], each photo's bucket: as photos.url_lists.bucket_numbers."""


@dataclass(frozen=True)
class MigrationResult:
    """Buckets before and after, photos in all, and photos whose picture could not be read (`pending` from now on)."""

    num_before: int
    num_after: int
    num_photos: int
    num_damaged: int


def bucket_count(set_folder: Path, name: str) -> int | None:
    """How many buckets of the photo set `name` are on disk, counted up to the highest; None if there are none.

    A set that was crawled in part may have fewer than its profile says: `is_migration_due` tells that case apart.
    """
    return max(_bucket_folders(set_folder, name), default=-1) + 1 or None


def is_migration_due(set_folder: Path, name: str, num_buckets: int, bucket_of: BucketOf) -> bool:
    """Whether a migration was interrupted, or some photo lies in another bucket than it has among `num_buckets`."""
    if _old(set_folder).exists():
        return True
    manifests = _manifests(_bucket_folders(set_folder, name))
    return any(
        bool((bucket_of(manifest["photo_id"], num_buckets) != number).any()) for number, manifest in manifests.items()
    )


def migrate_buckets(
    set_folder: Path,
    name: str,
    num_buckets: int,
    bucket_of: BucketOf,
    *,
    records_per_shard: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> MigrationResult:
    """Divide the photos of the set `name`, whose buckets are in `set_folder`, into `num_buckets` buckets.

    Rows stay as they are but for the place of their pictures; a photo whose picture cannot be read is `pending`, which
    the next crawl asks for. Meanwhile the set takes its space twice. `on_progress` is told (pictures done, pictures in
    all) now and then. Killed at any moment it loses nothing, and called again it completes. Raises InputError if a
    bucket is being crawled, if its crawl was not finished, or if something else lies between the buckets.
    """
    if not set_folder.parent.is_dir():
        return MigrationResult(0, num_buckets, 0, 0)
    with _alone(set_folder):
        _complete(set_folder)
        folders = _bucket_folders(set_folder, name)
        num_before = max(folders, default=-1) + 1
        if num_before in {0, num_buckets} and not is_migration_due(set_folder, name, num_buckets, bucket_of):
            num_photos = sum(manifest.num_rows for manifest in _manifests(folders).values())
            return MigrationResult(num_before, num_buckets, num_photos, 0)
        with _closed_to_crawls(set_folder, name, folders):
            done = regroup(
                set_folder,
                {folders[number].name: manifest for number, manifest in _manifests(folders).items()},
                [_new(set_folder) / f"{name}-{number:03d}" for number in range(num_buckets)],
                lambda photo_ids: bucket_of(photo_ids, num_buckets),
                records_per_shard=records_per_shard,
                on_progress=on_progress,
            )
            store.sync_folder(_new(set_folder))
            if _bucket_folders(set_folder, name) != folders:
                raise InputError(f"{set_folder}: a crawl has made new buckets meanwhile; stop it, then migrate again")
            _rename(set_folder, _old(set_folder))
            _complete(set_folder)
    return MigrationResult(num_before, num_buckets, done.num_photos, done.num_damaged)


def _complete(set_folder: Path) -> None:
    """Put finished new buckets in place of the old ones, or delete unfinished ones: what a kill left undone.

    The old set has its hidden name from the moment that the new one is whole. Raises InputError if a crawl has begun
    the set anew in the moment that it was not there.
    """
    old, new = _old(set_folder), _new(set_folder)
    if not old.exists():
        if new.exists():
            shutil.rmtree(new)
        return
    if new.exists():
        if set_folder.exists():
            raise InputError(
                f"{set_folder}: was begun by a crawl while a migration was interrupted; the photos are in {new}, ready "
                f"to be put in its place: move {set_folder} away, then migrate again"
            )
        _rename(new, set_folder)
    shutil.rmtree(old)


def _rename(source: Path, target: Path) -> None:
    source.rename(target)
    store.sync_folder(target.parent)


def _old(set_folder: Path) -> Path:
    return set_folder.with_name(f".{set_folder.name}.before-migration")


def _new(set_folder: Path) -> Path:
    return set_folder.with_name(f".{set_folder.name}.migrating")


@contextmanager
def _alone(set_folder: Path) -> Iterator[None]:
    """Keep other migrations out; a lock on the folder itself leaves no file behind."""
    descriptor = os.open(set_folder.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{set_folder.parent}: another process is migrating buckets here; wait for it") from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _closed_to_crawls(set_folder: Path, name: str, folders: Mapping[int, Path]) -> Iterator[None]:
    """Hold every bucket's ledger, and leave no trace if the block fails before the swap.

    Raises InputError if a crawl holds a ledger or has left rows in one, or if something else lies in the folder.
    """
    strangers = [path for path in set_folder.iterdir() if path not in folders.values() and path.name[0] != "."]
    if strangers:
        raise InputError(f"{strangers[0]}: found between buckets, expected only {name}-NNN; move it away")
    ledgers: list[Ledger] = []
    try:
        for folder in folders.values():
            ledgers += [_finished_ledger(folder, name, max(folders) + 1)]
        yield
    except BaseException:
        if not _old(set_folder).exists():
            shutil.rmtree(_new(set_folder), ignore_errors=True)
            for ledger in ledgers:
                ledger.remove()
        raise
    finally:
        for ledger in ledgers:
            ledger.close()


def _finished_ledger(folder: Path, name: str, num_buckets: int) -> Ledger:
    """The ledger of a bucket whose crawl is finished, locked."""
    ledger = Ledger(folder / LEDGER)
    if next(ledger.rows(), None) is None:
        return ledger
    ledger.close()
    raise InputError(
        f"{folder}: its crawl is not finished; set photo_sets.{name}.buckets back to the number that it was begun with "
        f"({num_buckets} are on disk), materialize photo_shards, then change the number and migrate"
    )


def _bucket_folders(set_folder: Path, name: str) -> dict[int, Path]:
    """The folders of the set's buckets by their numbers, in order."""
    found = {}
    for path in set_folder.iterdir() if set_folder.is_dir() else ():
        matched = re.fullmatch(rf"{re.escape(name)}-(\d{{3,}})", path.name)
        if matched and path.is_dir():
            found[int(matched[1])] = path
    return dict(sorted(found.items()))


def _manifests(folders: Mapping[int, Path]) -> dict[int, pa.Table]:
    """The manifests by their buckets' numbers."""
    return {number: read_manifest(folder / MANIFEST)[0] for number, folder in folders.items()}
