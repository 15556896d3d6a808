"""How assets' tables reach the disk and come back: one Parquet file for each table.

Here lives the IO manager and what it tells the Dagster page of a table: rows, columns, path. Not here: the write itself
(store.py) and the tables of single buckets, which the crawl writes while it runs.
"""

from __future__ import annotations

import dagster as dg
import pyarrow as pa

from geo_pipeline.defs.failures import user_errors_as_failures
from geo_pipeline.defs.staleness import FILES, file_sizes
from geo_pipeline.profile import Layout
from geo_pipeline.store import read_table, table_hash, write_table

ROW_COUNT, COLUMN_SCHEMA = "dagster/row_count", "dagster/column_schema"
TABLE_METADATA = frozenset({ROW_COUNT, COLUMN_SCHEMA, "path", "size_bytes", FILES})
"""What the IO manager tells of every table."""

COLUMN_DESCRIPTIONS = {
    "photo_id": "id of the photo in its photo set",
    "photo_set": "name of the photo set in the profile",
    "bucket": "bucket that owns the photo",
    "url": "where the photo is fetched from; a path for a folder of pictures",
    "status": "outcome of the download",
    "http_status": "last HTTP status code",
    "attempts": "requests made for this photo",
    "fetched_at": "time of the last request",
    "next_attempt_at": "earliest time of the next request",
    "final_url": "URL after redirects",
    "bytes_received": "length of the body",
    "source_sha256": "hash of the body as received",
    "image_sha256": "hash of the stored JPEG",
    "width": "pixels of the stored JPEG",
    "height": "pixels of the stored JPEG",
    "shard": "file that holds the photo",
    "offset": "first byte of the photo's record in its shard",
    "length": "bytes of the photo's record",
    "error": "what went wrong",
    "duplicate_of": "smallest photo id with the same source_sha256",
    "author": "author of the photo",
    "latitude": "degrees north",
    "longitude": "degrees east",
    "class_label": "index of the cell in its partitioning",
    "hex_id": "S2 token of the cell",
    "imgs_per_cell": "training photos in the cell",
    "latitude_mean": "mean latitude of the cell's photos, degrees",
    "longitude_mean": "mean longitude of the cell's photos, degrees",
    "coarse": "class label in the coarse partitioning",
    "middle": "class label in the middle partitioning",
    "fine": "class label in the fine partitioning",
    "benchmark": "photo set of role benchmark",
    "model": "which model answered",
    "p_key": "partitioning that answered, or hierarchy (f*)",
    "probability": "the model's probability of its answer",
    "true_latitude": "degrees north of the photo",
    "true_longitude": "degrees east of the photo",
    "distance_km": "great-circle distance from truth to answer",
    "radius_km": "distance that counts as correct",
    "accuracy_percent": "share of photos answered within the radius",
    "ci_low": "lower end of the 95 % bootstrap interval, percent",
    "ci_high": "upper end of the 95 % bootstrap interval, percent",
    "num_photos": "photos the share is taken of",
    "author_ci_low": "lower end of the 95 % bootstrap interval over authors, percent",
    "author_ci_high": "upper end of the 95 % bootstrap interval over authors, percent",
    "num_authors": "authors of these photos, each photo without one counted as one",
    "confidence": "probability by f* that the truth lies within 200 km of the answer",
}


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """The Dagster page's form of a table's columns."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=field.name,
                type=str(field.type),
                description=COLUMN_DESCRIPTIONS.get(field.name),
                constraints=dg.TableColumnConstraints(nullable=field.nullable),
            )
            for field in schema
        ]
    )


def table_result(table: pa.Table, **metadata: object) -> dg.MaterializeResult[pa.Table]:
    """A table as an asset's result: its data version is the hash of its content."""
    return dg.MaterializeResult(value=table, data_version=content_version(table), metadata=metadata)  # type: ignore[arg-type]


def content_version(table: pa.Table, without: tuple[str, ...] = ()) -> dg.DataVersion:
    """The data version of a table: a hash of its content, some columns left out."""
    return dg.DataVersion(table_hash(table.drop_columns(list(without)))[:32])


class ParquetIOManager(dg.IOManager):
    """Keeps each asset's table in `tables/<asset>.parquet`."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def handle_output(self, context: dg.OutputContext, obj: pa.Table) -> None:
        """Write the table atomically and describe it on the page."""
        path = self.layout.table(context.asset_key.to_user_string())
        with user_errors_as_failures():
            write_table(path, obj)
        context.add_output_metadata(
            {
                ROW_COUNT: obj.num_rows,
                COLUMN_SCHEMA: column_schema(obj.schema),
                "path": dg.MetadataValue.path(path),
                "size_bytes": path.stat().st_size,
                FILES: file_sizes(self.layout.folder, path),
            }
        )

    def load_input(self, context: dg.InputContext) -> pa.Table:
        """Read the upstream asset's table."""
        with user_errors_as_failures():
            return read_table(self.layout.table(context.asset_key.to_user_string()))
