"""Group photos: URL lists and shards by bucket, the manifest over all buckets, the metadata.

Not here: the crawl (crawl room) or the reading of input files (photos room). The one idea: a bucket's event is logged
the moment the bucket is finished, with its own data version; a bucket with nothing to do gets none.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.defs.bucket_counts import require_bucket_counts, write_down_bucket_counts
from geo_pipeline.defs.buckets import BucketEvents, wanted_buckets
from geo_pipeline.defs.crawling import crawl_into_shards
from geo_pipeline.defs.failures import plain_failures
from geo_pipeline.defs.inputs import URL_FILES, inputs_and_news, list_version
from geo_pipeline.defs.io_managers import column_schema, table_result
from geo_pipeline.defs.making import asset_function
from geo_pipeline.defs.orphans import running_step
from geo_pipeline.defs.pictures import markdown_table, outcome_pictures, photo_sheet_picture
from geo_pipeline.defs.resources import Experiment, PhotoServer
from geo_pipeline.defs.staleness import file_sizes
from geo_pipeline.photos.joins import mark_duplicates, query_tables
from geo_pipeline.photos.url_lists import UrlList
from geo_pipeline.profile import MANIFEST_FILE
from geo_pipeline.store import read_table, write_table

GROUP = "photos"


def build_bucket_assets(partitions: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    """`url_lists` and `photo_shards`: two assets in one step, because events are logged bucket by bucket.

    A step that logs its own events emits no output, and Dagster skips every step that waits for one: so both live in
    one step, which can also be run for either alone.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # of backfill_policy, which a run over many buckets needs
        return _bucket_crawl(partitions)


def _bucket_crawl(partitions: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="bucket_crawl",
        group_name=GROUP,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        pool="crawl",
        specs=[
            dg.AssetSpec(
                "url_lists",
                description="Which photos each bucket has and where each can be had: read from the profile's URL "
                "lists and folders of pictures; a stable hash of the photo id picks the bucket.",
                kinds={"csv", "parquet"},
                skippable=True,
            ),
            dg.AssetSpec(
                "photo_shards",
                deps=["url_lists"],
                description="The downloaded photos: MessagePack shards of upright sRGB JPEGs without metadata, and a "
                "manifest with the outcome of every photo. Failed downloads are data, not failures.",
                kinds={"aiohttp", "messagepack"},
                skippable=True,
            ),
        ],
    )
    @plain_failures
    def bucket_crawl(
        context: dg.AssetExecutionContext,
        experiment: dg.ResourceParam[Experiment],
        photo_server: dg.ResourceParam[PhotoServer],
    ) -> Iterator[object]:
        selected = {key.to_user_string() for key in context.selected_asset_keys}
        with running_step(experiment.layout):
            require_bucket_counts(experiment.profile, experiment.layout)
            if "url_lists" in selected:
                write_url_lists(context, experiment)
            if "photo_shards" in selected:
                write_down_bucket_counts(experiment.profile, experiment.layout)
                with photo_server.serving():
                    crawl_into_shards(context, experiment)
        yield from ()

    return bucket_crawl


def write_url_lists(context: dg.AssetExecutionContext, experiment: Experiment) -> None:
    """Write the lists of the run's buckets, and the rejected rows of the files they come from."""
    profile, layout = experiment.profile, experiment.layout
    profile.require_inputs()
    for each in inputs_and_news(context.instance, experiment)[1]:
        context.log_event(each.event())
    events = BucketEvents(context, layout.folder, "url_lists", URL_FILES, is_input=True)
    wanted = wanted_buckets(context)
    for name in dict.fromkeys(key.rpartition("-")[0] for key in wanted):
        photo_set = profile.photo_set(name)
        listed = photo_set.listed()
        write_table(layout.table("url_list_rejects", name), listed.rejects)
        for key, photos in photo_set.by_bucket(listed):
            if key in wanted:
                path = layout.table("url_lists", key)
                write_table(path, photos)
                events.log(key, list_version(photos), file_sizes(layout.folder, path), _list_metadata(photos, listed))


def _list_metadata(photos: pa.Table, listed: UrlList) -> Mapping[str, object]:
    return {
        "dagster/partition_row_count": photos.num_rows,
        "dagster/column_schema": column_schema(photos.schema),
        "removed": pc.sum(photos["removed"]).as_py() or 0,
        "rejected_rows_of_the_set": listed.rejects.num_rows,
    }


@dg.asset(
    group_name=GROUP,
    deps=["photo_shards"],
    kinds={"duckdb", "parquet"},
)
@asset_function
def photo_manifest(experiment: dg.ResourceParam[Experiment]) -> dg.MaterializeResult[pa.Table]:
    """One row for each listed photo with the outcome of its download: the only truth about what was downloaded.

    `duplicate_of` names the smallest photo id with the same picture.
    """
    manifest = mark_duplicates(pa.concat_tables(_bucket_manifests(experiment)))
    outcomes = query_tables(
        "select photo_set, status, count(*) as photos from manifest group by all order by photo_set, photos desc",
        manifest=manifest,
    )
    return table_result(
        manifest,
        outcomes=markdown_table(outcomes),
        **outcome_pictures(manifest),
        sample_photos=photo_sheet_picture(manifest, experiment.layout.shards),
        duplicates=manifest["duplicate_of"].length() - manifest["duplicate_of"].null_count,
    )


def _bucket_manifests(experiment: Experiment) -> Iterator[pa.Table]:
    """Each bucket's manifest with `photo_set` and `bucket`. Raises InputError naming a bucket that was not crawled."""
    for key in experiment.profile.bucket_keys():
        manifest = read_table(experiment.layout.bucket(key) / MANIFEST_FILE)
        for name, value in (("bucket", key), ("photo_set", key.rpartition("-")[0])):
            manifest = manifest.add_column(1, name, pa.repeat(value, manifest.num_rows))
        yield manifest


@dg.asset(group_name=GROUP, kinds={"csv", "parquet"})
@asset_function
def photo_metadata(experiment: dg.ResourceParam[Experiment]) -> dg.MaterializeResult[pa.Table]:
    """Coordinates, authors and scene probabilities of all photo sets, from the CSV files of the profile.

    Rows that cannot be used are kept with file, row and reason in `tables/photo_metadata_rejects.parquet`.
    """
    profile = experiment.profile
    profile.require_inputs()
    read = {name: profile.photo_set(name).metadata() for name in profile.photo_sets}
    rejects = pa.concat_tables(metadata.rejects for metadata in read.values())
    write_table(experiment.layout.table("photo_metadata_rejects"), rejects)
    counts = {f"photos_{name}": metadata.photos.num_rows for name, metadata in read.items()}
    photos = pa.concat_tables(metadata.photos for metadata in read.values())
    return table_result(photos, rejected_rows=rejects.num_rows, **counts)
