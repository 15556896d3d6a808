"""How many buckets each photo set has on disk, and the move to another number.

Not here: the moving itself (crawl room). The one idea: the number belongs to the profile, so the one that the files
were made with is written down beside them; a crawl under another number would ask for photos that lie next door.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from geo_pipeline.crawl.migration import MigrationResult, bucket_count, is_migration_due, migrate_buckets
from geo_pipeline.errors import InputError
from geo_pipeline.lock import exclusive
from geo_pipeline.photos.url_lists import bucket_numbers
from geo_pipeline.profile import MATERIALIZE_LOCK, Layout, Profile
from geo_pipeline.store import write_json

COUNTS_FILE = "buckets.json"


def changed_bucket_counts(profile: Profile, layout: Layout) -> dict[str, tuple[int, int]]:
    """(number on disk, number in the profile) of each photo set where they differ."""
    known = _known(layout)
    found = {}
    for name, photo_set in profile.photo_sets.items():
        folder = layout.shards / name
        if name in known and known[name] != photo_set.buckets:
            found[name] = (known[name], photo_set.buckets)
        elif name not in known and is_migration_due(folder, name, photo_set.buckets, bucket_numbers):
            found[name] = (bucket_count(folder, name) or 0, photo_set.buckets)
    return found


def bucket_count_problem(profile: Profile, layout: Layout) -> str | None:
    """What is wrong if a profile has another number of buckets than the files, and the command that mends it."""
    changed = changed_bucket_counts(profile, layout)
    if not changed:
        return None
    sets = "; ".join(
        f"photo set {name} has {old} buckets on disk and {new} in the profile" for name, (old, new) in changed.items()
    )
    return (
        f"profile {profile.name}: {sets}. `geo-pipeline --profile {profile.name} migrate-buckets` moves the photos "
        "without a request; or set `buckets` back"
    )


def require_bucket_counts(profile: Profile, layout: Layout) -> None:
    """Raise InputError if the number of buckets has changed."""
    problem = bucket_count_problem(profile, layout)
    if problem:
        raise InputError(problem)


def migrate(profile: Profile, layout: Layout, show: Callable[[str], None]) -> dict[str, MigrationResult]:
    """Move the photos of every set whose number of buckets has changed; what was done, by set."""
    results = {}
    with exclusive(layout.folder / MATERIALIZE_LOCK, wait=True, on_wait=lambda holder: show(f"waiting for {holder}")):
        for name, (old, new) in changed_bucket_counts(profile, layout).items():
            show(f"{name}: {old} to {new} buckets")
            # if this is killed, the photos themselves are asked in which buckets they lie
            _write_counts(layout, {other: count for other, count in _known(layout).items() if other != name})
            results[name] = migrate_buckets(
                layout.shards / name, name, new, bucket_numbers, records_per_shard=profile.crawl.records_per_shard
            )
            _write_down(layout, {name: new})
    return results


def write_down_bucket_counts(profile: Profile, layout: Layout) -> None:
    """Keep the numbers of buckets beside the files."""
    _write_down(layout, {name: photo_set.buckets for name, photo_set in profile.photo_sets.items()})


def _write_down(layout: Layout, counts: Mapping[str, int]) -> None:
    known = _known(layout)
    if {**known, **counts} != known:
        _write_counts(layout, {**known, **counts})


def _write_counts(layout: Layout, counts: Mapping[str, int]) -> None:
    write_json(layout.shards / COUNTS_FILE, counts)


def _known(layout: Layout) -> dict[str, int]:
    """The numbers that were written down."""
    try:
        return dict(json.loads((layout.shards / COUNTS_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
