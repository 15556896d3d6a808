"""What came of a crawl, by host and by photo set: for the end of a command and for the Dagster page.

Pure functions of manifests. The one idea: a host is the one in the list's URL, wherever a redirect led, so the rows
add up to the list, and a person can act on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.shards.manifest import Status

HOSTS = 20
OTHER_HOSTS = "other hosts"
NO_HOST = "no host"
"""Stands for the host of a URL that has none, and of a path in a folder of pictures."""

_HOST = r"^\s*(?i:https?)://(?:[^/?#@]*@)?(?P<host>[^/?#\s]+)"


def count_by_host(manifest: pa.Table) -> pa.Table:
    """`host, status, photos`: how many photos of a manifest (`url, status`) have each outcome at each host."""
    return _counted(pa.table({"host": _hosts(manifest["url"]), "status": manifest["status"]}))


def outcomes_by_host(counts: pa.Table, hosts: int = HOSTS) -> pa.Table:
    """Outcomes of photos by the host of their URL, from the counts (`count_by_host`) of one or several manifests.

    Columns: `host`, `photos`, `ok`, then each other status that occurs, the most frequent first (int64). A row for each
    of the `hosts` hosts with the most photos, then one for all others.
    """
    by_photos = [("photos", "descending"), ("host", "ascending")]
    first = _summed(counts, "host").sort_by(by_photos)["host"].slice(0, hosts)
    shown = pc.if_else(pc.is_in(counts["host"], first.combine_chunks()), counts["host"], OTHER_HOSTS)
    shown_counts = _summed(counts.set_column(0, "host", shown), "host", "status")
    return _crossed(shown_counts, [*first.to_pylist(), OTHER_HOSTS])


def outcomes_by_photo_set(manifest: pa.Table) -> pa.Table:
    """Columns as in `outcomes_by_host`, a row for each `photo_set` of a manifest (`photo_set, status`), by name."""
    counts = _counted(manifest.select(["photo_set", "status"]))
    return _crossed(counts, sorted(pc.unique(counts["photo_set"]).to_pylist()))


def outcomes_by_host_text(counts: pa.Table, hosts: int = HOSTS) -> str:
    """The table of `outcomes_by_host` in aligned columns, zeros left out."""
    table = outcomes_by_host(counts, hosts)
    rows = [table.column_names, *([_cell(value) for value in row.values()] for row in table.to_pylist())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in aligned)


def _crossed(counts: pa.Table, order: Sequence[str]) -> pa.Table:
    """Counts (name, `status`, `photos`) as a table with a column for each status; those names of `order` that occur."""
    title = counts.column_names[0]
    count_of = {(row[title], row["status"]): row["photos"] for row in counts.to_pylist()}
    by_status = {row["status"]: row["photos"] for row in _summed(counts, "status").to_pylist()}
    failures = sorted(by_status.keys() - {Status.OK.value}, key=lambda name: (-by_status[name], name))
    occurring = {name for name, _ in count_of}
    names = [name for name in order if name in occurring]
    columns = {each: [count_of.get((name, each), 0) for name in names] for each in (Status.OK.value, *failures)}
    photos = [sum(row) for row in zip(*columns.values(), strict=True)]
    schema = pa.schema([(title, pa.string()), *((name, pa.int64()) for name in ("photos", *columns))])
    return pa.table({title: names, "photos": photos, **columns}, schema=schema)


def _hosts(urls: pa.ChunkedArray) -> pa.ChunkedArray:
    """The host (with its port, if the URL names one) of each URL, in lower case."""
    host = pc.struct_field(pc.extract_regex(urls.cast(pa.string()), _HOST), "host")
    return pc.fill_null(pc.ascii_lower(host), NO_HOST)


def _counted(table: pa.Table) -> pa.Table:
    """The distinct rows of a table with the number of each as `photos`."""
    return table.group_by(table.column_names).aggregate([([], "count_all")]).rename_columns({"count_all": "photos"})


def _summed(counts: pa.Table, *keys: str) -> pa.Table:
    """The photos added up by some columns."""
    return counts.group_by(list(keys)).aggregate([("photos", "sum")]).rename_columns({"photos_sum": "photos"})


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and value else str(value or "")
