"""A whole URL list into one folder of shards and one manifest: what the `geo-pipeline download` command does.

Here live the folder's layout, the division of the list into parts, and the closing manifest. Not here: the crawl of a
part, which is that of any bucket (engine.py). The one idea: a list of millions is crawled part by part, each with a
ledger and a manifest of its own under `.crawl/`, so that memory holds some parts and never the list; the shards lie in
the folder itself, and `manifest.parquet` is written when the last part is done.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geo_pipeline import store
from geo_pipeline.crawl.bucket import Bucket, CrawlProgress, crawl_buckets
from geo_pipeline.crawl.clock import utc_now
from geo_pipeline.crawl.compaction import ShardFiles
from geo_pipeline.crawl.duplicates import originals
from geo_pipeline.crawl.outlook import outlook
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import MANIFEST
from geo_pipeline.crawl.summary import count_by_host
from geo_pipeline.errors import InputError
from geo_pipeline.photos.list_parts import divide_url_csv
from geo_pipeline.photos.removals import Removals, read_removals
from geo_pipeline.shards.manifest import MANIFEST_SCHEMA

WORK_FOLDER = ".crawl"
REJECTS = "rejects.csv"
BYTES_OF_A_PART = 4_000_000
"""A list is divided into parts of about so many bytes: some 50,000 photos."""

MAX_PARTS = 1000
_DOWNLOAD_SCHEMA = MANIFEST_SCHEMA.append(pa.field("duplicate_of", pa.string()))


@dataclass(frozen=True)
class Download:
    """A list to download into `output`.

    With a `seed` the list is worked through in a random order that follows from it, else in its own order (a list of
    more than `BYTES_OF_A_PART` part by part, in the order of the list within each).
    """

    url_csv: Path
    output: Path
    seed: int | None = None
    removal_list: Path | None = None
    skip_bad_rows: bool = False


@dataclass(frozen=True)
class Due:
    """What a download would do now: photos listed, to be asked for, and of these those asked only for changes."""

    num_listed: int
    num_due: int
    num_refreshed: int


@dataclass(frozen=True)
class Downloaded:
    """What a download has done: `counts` as of `count_by_host`; `errors` of parts that failed, for the next run."""

    num_photos: int
    num_duplicates: int
    requests: int
    bytes_received: int
    counts: pa.Table
    errors: tuple[Exception, ...]


@dataclass(frozen=True)
class _State:
    """What the parts were made from."""

    num_parts: int
    list_sha256: str
    removals_sha256: str | None
    seed: int | None
    skip_bad_rows: bool


def start_over(output: Path) -> None:
    """Delete what earlier downloads left in a folder: shards, manifest, what is known of the list; nothing else."""
    for path in (*output.glob("shard-*.msg"), output / MANIFEST, output / REJECTS):
        path.unlink(missing_ok=True)
    shutil.rmtree(output / WORK_FOLDER, ignore_errors=True)


def prepare(download: Download) -> list[Bucket]:
    """The parts of the list, divided anew if the list has changed.

    Raises InputError for a list that cannot be used, or a folder with shards that no download has made; nothing is
    changed then.
    """
    work = download.output / WORK_FOLDER
    before = _read_state(work / "state.json")
    if before is None and any(download.output.glob("shard-*.msg")):
        raise InputError(
            f"{download.output}: has shards but no {WORK_FOLDER}, so it is unknown what they hold; give another folder "
            "or --start-over"
        )
    state = _state_of(download, before)
    if state != before:
        removals = _removals(download.removal_list)
        rejects = divide_url_csv(
            download.url_csv,
            lambda number: _part_folder(work, number) / "list.parquet",
            state.num_parts,
            seed=download.seed,
            removals=removals,
            skip_bad_rows=download.skip_bad_rows,
        )
        _write_rejects(download.output / REJECTS, rejects)
        store.write_json(work / "state.json", asdict(state))
    return [_part(download.output, number) for number in range(state.num_parts)]


def due(parts: Sequence[Bucket], settings: CrawlSettings, now: datetime) -> Due:
    """What a download of the parts would do now; nothing is asked for and nothing is changed."""
    counts = Counter[str]()
    for part in parts:
        found = outlook(part, settings, now).due
        counts["listed"] += part.num_photos
        counts["due"] += found.num_rows
        counts["refreshed"] += found.num_rows - found["stored"].null_count
    return Due(counts["listed"], counts["due"], counts["refreshed"])


def download_parts(
    parts: Sequence[Bucket],
    output: Path,
    settings: CrawlSettings,
    *,
    on_progress: Callable[[CrawlProgress], None] | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Downloaded:
    """Crawl what is due of the parts and put the folder's manifest in place.

    An interrupted or failed download has no manifest, and goes on where it ended when it is called again.
    """
    (output / MANIFEST).unlink(missing_ok=True)  # its shards may be replaced from now on
    crawl = crawl_buckets(parts, settings, on_progress=on_progress, now=now)
    results = [replace(each, manifest=None) for each in crawl]  # all manifests together would fill the memory
    errors = tuple(each.error for each in results if each.error)
    num_duplicates, counts = (0, _no_counts()) if errors else _close(parts, output)
    return Downloaded(
        sum(part.num_photos for part in parts),
        num_duplicates,
        sum(each.requests for each in results),
        sum(each.bytes_received for each in results),
        counts,
        errors,
    )


def _close(parts: Sequence[Bucket], output: Path) -> tuple[int, pa.Table]:
    """Write the manifest of all parts, one part at a time; (number of duplicates, counts by host)."""
    paths = [part.directory / MANIFEST for part in parts]
    first = originals(paths)
    num_duplicates, counts = 0, []
    with store.atomic_file(output / MANIFEST) as stream, pq.ParquetWriter(stream, _DOWNLOAD_SCHEMA) as writer:
        for path in paths:
            manifest = store.read_table(path).replace_schema_metadata(None)
            marked = _with_duplicates(manifest, first)
            num_duplicates += marked.num_rows - marked["duplicate_of"].null_count
            counts.append(count_by_host(manifest))
            writer.write_table(marked)
    return num_duplicates, pa.concat_tables([_no_counts(), *counts])


def _with_duplicates(manifest: pa.Table, first: pa.Table) -> pa.Table:
    """The rows with `duplicate_of`: the smallest id with the same body, null for that one itself."""
    original = first["photo_id"].take(pc.index_in(manifest["source_sha256"], first["source_sha256"].combine_chunks()))
    is_copy = pc.and_(pc.equal(manifest["status"], "ok"), pc.not_equal(original, manifest["photo_id"]))
    return manifest.append_column("duplicate_of", pc.if_else(is_copy, original, pa.scalar(None, pa.string())))


def _no_counts() -> pa.Table:
    return count_by_host(MANIFEST_SCHEMA.empty_table())


def _part(output: Path, number: int) -> Bucket:
    folder = _part_folder(output / WORK_FOLDER, number)
    return Bucket(f"part {number}", folder / "list.parquet", folder, ShardFiles(output, f"shard-{number:03d}-"))


def _part_folder(work: Path, number: int) -> Path:
    return work / f"{number:03d}"


def _state_of(download: Download, before: _State | None) -> _State:
    """What the parts are to be made from; their number stays what it was. Raises InputError for an absent file."""
    removals = _sha256(download.removal_list) if download.removal_list else None
    digest = _sha256(download.url_csv)
    num_parts = before.num_parts if before else min(download.url_csv.stat().st_size // BYTES_OF_A_PART + 1, MAX_PARTS)
    return _State(num_parts, digest, removals, download.seed, download.skip_bad_rows)


def _sha256(path: Path) -> str:
    try:
        return store.file_hash(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: no such file; supply it or correct the path") from error


def _removals(path: Path | None) -> Removals | None:
    """The removal list. Raises InputError if it asks by author, whom a URL list does not name."""
    removals = read_removals(path) if path else None
    if removals and removals.authors:
        raise InputError(f"{path}: asks by author, whom a URL list does not name; ask by photo_id or url")
    return removals


def _write_rejects(path: Path, rejects: pa.Table) -> None:
    """The rows that were left out; no file if there are none."""
    if rejects.num_rows:
        store.write_csv(path, rejects)
    else:
        path.unlink(missing_ok=True)


def _read_state(path: Path) -> _State | None:
    try:
        return _State(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); give --start-over") from error
