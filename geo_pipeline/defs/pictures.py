"""Pictures and tables as metadata on the Dagster page.

Not here: drawing (evaluation.figures). The one idea: a picture travels inside the event as Markdown with a data URI,
so that the page shows it wherever the event is read.
"""

from __future__ import annotations

import base64
from pathlib import Path

import dagster as dg
import pyarrow as pa

from geo_pipeline.photos.url_lists import id_hashes

SHEET_PHOTOS = 24


def png(picture: bytes) -> dg.MarkdownMetadataValue:
    """A PNG picture."""
    return dg.MetadataValue.md(f"![picture](data:image/png;base64,{base64.b64encode(picture).decode()})")


def markdown_table(table: pa.Table) -> dg.MarkdownMetadataValue:
    """A small table; numbers with at most two decimals."""
    rows = [table.column_names, ["---"] * table.num_columns, *(map(_cell, row.values()) for row in table.to_pylist())]
    return dg.MetadataValue.md("\n".join("| " + " | ".join(row) + " |" for row in rows))


def _cell(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def photo_sheet_picture(manifest: pa.Table, shards_root: Path) -> dg.MarkdownMetadataValue:
    """A sheet of some downloaded photos, chosen by the hash of their ids."""
    from geo_pipeline.evaluation.figures import photo_sheet
    from geo_pipeline.photos.joins import query_tables
    from geo_pipeline.shards.reader import ShardReader

    stored = query_tables(
        """select photo_id, photo_set || '/' || bucket || '/' || shard as path, "offset", length
        from manifest where status = 'ok'""",
        manifest=manifest,
    )
    chosen = id_hashes(stored["photo_id"].to_pylist()).argsort(kind="stable")[:SHEET_PHOTOS]
    reader = ShardReader(shards_root)
    rows = stored.take(pa.array(chosen)).to_pylist()
    return png(photo_sheet([reader.image(row["path"], row["offset"], row["length"]) for row in rows]))


def outcome_pictures(manifest: pa.Table) -> dict[str, dg.MarkdownMetadataValue]:
    """What came of the downloads: bars by photo set and by host."""
    from geo_pipeline.crawl.summary import count_by_host, outcomes_by_host, outcomes_by_photo_set
    from geo_pipeline.evaluation.figures import outcome_bars

    by_host = outcomes_by_host(count_by_host(manifest))
    tables = {"outcomes_by_set": outcomes_by_photo_set(manifest), "outcomes_by_host": by_host}
    return {name: png(outcome_bars(counts)) for name, counts in tables.items() if counts.num_rows}
