"""The crawl of some buckets inside a running step: its events and its failures.

Not here: the crawl itself (crawl room), and what the page says of it (crawl_page.py). The one idea: a finished bucket
is logged at once, so that a step that is killed later has lost nothing; a bad bucket does not stop the others, and the
step fails at the end naming it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.defs.buckets import BucketEvents, wanted_buckets
from geo_pipeline.defs.crawl_page import Observer, bucket_metadata
from geo_pipeline.defs.failures import USER_ERROR
from geo_pipeline.defs.history import FAILED_BUCKETS
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.defs.staleness import file_sizes
from geo_pipeline.errors import explain
from geo_pipeline.photos.settings import PhotoSetSettings
from geo_pipeline.profile import MANIFEST_FILE
from geo_pipeline.store import table_hash

if TYPE_CHECKING:
    from geo_pipeline.crawl.bucket import Bucket, BucketResult, CrawlProgress

CONTENT_COLUMNS = ("photo_id", "url", "status", "source_sha256", "image_sha256", "shard", "offset", "length")
"""What downstream depends on: times and attempts are no content."""


def crawl_into_shards(context: dg.AssetExecutionContext, experiment: Experiment) -> None:
    """Fetch what is due in the run's buckets. Raises dg.Failure at the end naming the buckets that failed."""
    folder = experiment.layout.folder
    events = BucketEvents(context, folder, "photo_shards", "url_lists")
    failed: dict[str, str] = {}
    for result in _crawl(context, experiment):
        if result.error is not None or result.manifest is None:
            failed[result.key] = explain(result.error) or repr(result.error) if result.error else "no manifest"
            continue
        files = file_sizes(folder, *_bucket_files(experiment.layout.bucket(result.key), result.manifest))
        logged = events.log(result.key, manifest_version(result.manifest), files, bucket_metadata(result))
        context.log.info(f"{result.key}: {result.requests} requests" + ("" if logged else ", nothing new"))
    if failed:
        reasons = "\n".join(f"  - {key}: {reason}" for key, reason in failed.items())
        message = f"{len(failed)} buckets failed; run them again, the others are done:\n{reasons}"
        raise dg.Failure(message, {USER_ERROR: True, FAILED_BUCKETS: failed}, allow_retries=False)


def _bucket_files(folder: Path, manifest: pa.Table) -> Iterator[Path]:
    """The manifest of a bucket and the shards that it names."""
    yield folder / MANIFEST_FILE
    for shard in sorted(set(pc.unique(manifest["shard"].drop_null()).to_pylist())):
        yield folder / shard


def manifest_version(manifest: pa.Table) -> str:
    """The data version of a bucket: a hash of its content, whenever and however often it was fetched."""
    return table_hash(manifest.select(CONTENT_COLUMNS))[:32]


def _crawl(context: dg.AssetExecutionContext, experiment: Experiment) -> Iterator[BucketResult]:
    """Results of all buckets of the run: folders are imported, lists are crawled."""
    from geo_pipeline.crawl.bar import CrawlBar
    from geo_pipeline.crawl.bucket import Bucket, crawl_buckets, import_folder

    sets = experiment.profile.photo_sets
    layout = experiment.layout
    buckets = [Bucket(key, layout.table("url_lists", key), layout.bucket(key)) for key in wanted_buckets(context)]
    for bucket in buckets:
        folder = _set_of(bucket, sets).image_dir
        if folder is not None:
            yield import_folder(bucket, folder, experiment.profile.crawl)
    crawled = [bucket for bucket in buckets if _set_of(bucket, sets).image_dir is None]
    observer, total = Observer(context), sum(bucket.num_photos for bucket in crawled)
    with CrawlBar(total, shown=sys.stderr.isatty()) as bar:

        def report(progress: CrawlProgress) -> None:
            bar.report(progress)
            observer.report(progress)

        yield from crawl_buckets(crawled, experiment.profile.crawl, on_progress=report)


def _set_of(bucket: Bucket, sets: Mapping[str, PhotoSetSettings]) -> PhotoSetSettings:
    return sets[bucket.key.rpartition("-")[0]]
