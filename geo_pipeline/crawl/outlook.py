"""What a crawl of a bucket would have to do now, without a lock and without a change.

Here lives the reading of manifest and ledger as they are, even while a crawl writes them. Not here: the rule of what is
due (planning.py), which is asked. The one idea: the same tables and the same rule as the crawl, so that the two cannot
disagree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.crawl.ledger import row_of
from geo_pipeline.crawl.planning import merge, plan
from geo_pipeline.crawl.recorded import Recorded
from geo_pipeline.crawl.remembered import doubted_statuses, remembered_settings, settings_of
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import LEDGER, MANIFEST, Bucket, read_manifest, readable_rows
from geo_pipeline.shards.manifest import ManifestRow, Status


@dataclass(frozen=True)
class Outlook:
    """The listed photos that are due (columns of `Plan.due`), and the rows (MANIFEST_SCHEMA) of all the others."""

    due: pa.Table
    known: pa.Table


def outlook(bucket: Bucket, settings: CrawlSettings, now: datetime) -> Outlook:
    """What a crawl of the bucket would ask for now. Raises InputError if its list or manifest cannot be read."""
    photos = bucket.load()
    manifest, _ = read_manifest(bucket.directory / MANIFEST)
    present = remembered_settings(settings)
    doubted = doubted_statuses(settings_of(manifest), present)
    manifest = readable_rows(manifest, bucket.shard_files.sizes()).replace_schema_metadata(None)
    recorded = Recorded(recorded_rows(bucket.directory / LEDGER, settings)).table()
    due = plan(photos, manifest, recorded, now, doubted=doubted, refresh_after=settings.refresh_after).due
    others = photos.filter(pc.invert(pc.is_in(photos["photo_id"], due["photo_id"].combine_chunks())))
    return Outlook(due, merge(others, manifest, recorded))


def recorded_rows(ledger: Path, settings: CrawlSettings) -> Iterator[ManifestRow]:
    """The rows that an interrupted or a running crawl has recorded and that the present settings do not put in doubt.

    The ledger may grow while it is read: its last line may be half a line.
    """
    present = remembered_settings(settings)
    doubted: frozenset[Status] = frozenset()
    for line in _json_lines(ledger):
        if "photo_id" not in line:
            doubted = doubted_statuses(line["settings"], present) if "settings" in line else doubted
            continue
        row = row_of(line)
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
