"""Jobs: the crawl of all buckets, and everything that follows from it."""

from __future__ import annotations

import dagster as dg

from geo_pipeline.profile import Profile

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

crawl_selection = dg.AssetSelection.assets("url_lists", "photo_shards")


crawl_job = dg.define_asset_job(
    "crawl",
    selection=crawl_selection,
    description="Read the URL lists and download what is due, for one bucket or a range of them in one run.",
)

model_job = dg.define_asset_job(
    "model",
    selection=dg.AssetSelection.all() - crawl_selection,
    description="Everything after the crawl: manifest, cells, training, benchmarks, report.",
)


def all_buckets_tags(profile: Profile) -> dict[str, str]:
    """Run tags that make one run cover every bucket."""
    keys = profile.bucket_keys()
    return {RANGE_START: keys[0], RANGE_END: keys[-1]}
