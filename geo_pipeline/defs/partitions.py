"""The only Dagster partitioning here: buckets of photos; a *partitioning* of the earth is the cells room's word."""

from __future__ import annotations

import dagster as dg

from geo_pipeline.profile import Profile

BUCKETED = frozenset({"url_files", "url_lists", "photo_shards"})
"""The assets that have buckets; all others have none."""


def bucket_partitions(profile: Profile) -> dg.StaticPartitionsDefinition:
    """Static keys `<photo set>-<NNN>`, so that a clean machine knows them without an instance database."""
    return dg.StaticPartitionsDefinition(profile.bucket_keys())
