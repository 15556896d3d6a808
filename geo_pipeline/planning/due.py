"""What a crawl or an import would have to do for one photo set, and what was learned in earlier ones.

Here lives the sum over a set's buckets. Not here: what is due in one of them (crawl.outlook). The one idea: the same
tables and the same rule as the crawl, so that the two cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.crawl.outlook import outlook
from geo_pipeline.crawl.storage import Bucket
from geo_pipeline.photos.url_lists import bucket_numbers
from geo_pipeline.profile import Layout, Profile
from geo_pipeline.shards.manifest import Status

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
    keys = [f"{name}-{number:03d}" for number in range(settings.buckets)]
    outlooks = [
        outlook(Bucket(key, photos.filter(pa.array(numbers == number)), layout.bucket(key)), crawl, now)
        for number, key in enumerate(keys)
    ]
    due = pa.concat_tables(each.due for each in outlooks)
    known = pa.concat_tables(each.known.select(_KNOWN) for each in outlooks)
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


def _files_there(folder: Path, names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Those of some pictures that an import finds: an id of the metadata may have none."""
    return names.filter(pa.array([(folder / name).is_file() for name in names.to_pylist()], pa.bool_()))
