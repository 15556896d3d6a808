"""What a crawl or an import would have to do for one photo set, and what was learned in earlier ones.

Here lives the reading of lists, manifests and ledgers as they are, without a lock and without a change. Not here: the
rule of what is due (crawl.planning), which is asked. The one idea: the same tables and the same rule as the crawl, so
that the two cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.crawl.planning import merge, plan
from geo_pipeline.crawl.remembered import doubted_statuses, remembered_settings, settings_of
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import LEDGER, read_manifest
from geo_pipeline.photos.url_lists import bucket_numbers
from geo_pipeline.profile import MANIFEST_FILE, Layout, Profile
from geo_pipeline.shards.manifest import ManifestRow, Status, manifest_table

_TIMES = ("fetched_at", "next_attempt_at")
_KNOWN = ["url", "status", "fetched_at", "next_attempt_at", "bytes_received", "length"]


@dataclass(frozen=True)
class SetState:
    """A photo set now. Every listed photo is in one of: due, later, stored, refused.

    `due_urls`: string[n], of the photos that a crawl would ask for, or an import would read, now; `num_later`: those
    whose next attempt is at `next_due_at` or after it; `num_refused`: those that are not asked for again. `asked`:
    `url, fetched_at, bytes_received, length` of what was asked for under the present settings and is known now, with a
    length where it is stored.
    """

    num_listed: int
    due_urls: pa.ChunkedArray
    num_stored: int
    num_refused: int
    num_later: int
    next_due_at: datetime | None
    asked: pa.Table


def set_state(profile: Profile, layout: Layout, name: str, now: datetime) -> SetState:
    """The state of a photo set. Raises InputError if a list or a manifest cannot be read."""
    settings = profile.photo_sets[name]
    photos = profile.photo_set(name).listed().photos
    numbers = bucket_numbers(photos["photo_id"], settings.buckets)
    crawl = profile.crawl.for_folder() if settings.image_dir else profile.crawl
    buckets = [
        _bucket_state(photos.filter(pa.array(numbers == number)), layout.bucket(f"{name}-{number:03d}"), crawl, now)
        for number in range(settings.buckets)
    ]
    due, known = (pa.concat_tables(tables) for tables in zip(*buckets, strict=True))
    due_urls = _files_there(settings.image_dir, due["url"]) if settings.image_dir else due["url"]
    is_later = pc.is_valid(known["next_attempt_at"])
    is_stored = pc.and_not(pc.equal(known["status"], Status.OK.value), is_later)
    num_stored, num_later = (pc.sum(each).as_py() or 0 for each in (is_stored, is_later))
    return SetState(
        num_listed=photos.num_rows,
        due_urls=due_urls,
        num_stored=num_stored,
        num_refused=photos.num_rows - len(due_urls) - num_stored - num_later,
        num_later=num_later,
        next_due_at=pc.min(known["next_attempt_at"]).as_py(),
        asked=known.filter(pc.is_valid(known["fetched_at"])).select(["url", "fetched_at", "bytes_received", "length"]),
    )


def _bucket_state(photos: pa.Table, folder: Path, settings: CrawlSettings, now: datetime) -> tuple[pa.Table, pa.Table]:
    """(the listed photos that are due, what is known of the others: columns of `_KNOWN`) of a bucket."""
    manifest, _ = read_manifest(folder / MANIFEST_FILE)
    present = remembered_settings(settings)
    doubted = doubted_statuses(settings_of(manifest), present)
    manifest = _with_its_records(manifest, folder).replace_schema_metadata(None)
    recorded = manifest_table({row.photo_id: row for row in _recorded_rows(folder / LEDGER, present)}.values())
    due = plan(photos, manifest, recorded, now, doubted=doubted, refresh_after=settings.refresh_after).due
    others = photos.filter(pc.invert(pc.is_in(photos["photo_id"], due["photo_id"].combine_chunks())))
    return due, merge(others, manifest, recorded).select(_KNOWN)


def _files_there(folder: Path, names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Those of some pictures that an import finds: an id of the metadata may have none."""
    return names.filter(pa.array([(folder / name).is_file() for name in names.to_pylist()], pa.bool_()))


def _with_its_records(manifest: pa.Table, folder: Path) -> pa.Table:
    """The rows without a record, or with one that lies within a shard that is there: the others are due again."""
    sizes = {path.name: path.stat().st_size for path in folder.glob("shard-*.msg")}
    size = pa.array([*sizes.values()], pa.int64()).take(
        pc.index_in(manifest["shard"], pa.array([*sizes], pa.string())).combine_chunks()
    )
    is_there = pc.greater_equal(pa.chunked_array([size]), pc.add(manifest["offset"], manifest["length"]))
    return manifest.filter(pc.or_(pc.is_null(manifest["shard"]), pc.fill_null(is_there, False)))


def _recorded_rows(ledger: Path, present: Mapping[str, str]) -> Iterator[ManifestRow]:
    """The rows that an interrupted or a running crawl has recorded and that the present settings do not put in doubt.

    The ledger may grow while it is read: its last line may be half a line.
    """
    doubted: frozenset[Status] = frozenset()
    for line in _json_lines(ledger):
        if "photo_id" not in line:
            doubted = doubted_statuses(line["settings"], present) if "settings" in line else doubted
            continue
        times = {key: datetime.fromisoformat(line[key]) for key in _TIMES if key in line}
        row = ManifestRow(**{**line, **times, "status": Status(line["status"])})
        if row.status not in doubted:
            yield row


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, up to the first line that is none; nothing if there is no file."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            content = json.loads(line)
        except ValueError:
            return
        if not isinstance(content, dict):
            return
        yield content
