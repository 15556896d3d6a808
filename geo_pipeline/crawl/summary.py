"""What came of a crawl, by host: for the end of a command and for the Dagster page.

Pure functions of manifests. The one idea: a host is the one in the list's URL, wherever a redirect led, so the rows
add up to the list, and a person can act on them.
"""

from __future__ import annotations

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
    rows = _summed(counts.set_column(0, "host", shown), "host", "status").to_pylist()
    count_of = {(row["host"], row["status"]): row["photos"] for row in rows}
    by_status = {row["status"]: row["photos"] for row in _summed(counts, "status").to_pylist()}
    failures = sorted(by_status.keys() - {Status.OK.value}, key=lambda name: (-by_status[name], name))
    names = [*first.to_pylist(), *([OTHER_HOSTS] if any(host == OTHER_HOSTS for host, _ in count_of) else [])]
    columns = {each: [count_of.get((name, each), 0) for name in names] for each in (Status.OK.value, *failures)}
    photos = [sum(row) for row in zip(*columns.values(), strict=True)]
    schema = pa.schema([("host", pa.string()), *((name, pa.int64()) for name in ("photos", *columns))])
    return pa.table({"host": names, "photos": photos, **columns}, schema=schema)


def outcomes_by_host_text(counts: pa.Table, hosts: int = HOSTS) -> str:
    """The table of `outcomes_by_host` in aligned columns, zeros left out."""
    table = outcomes_by_host(counts, hosts)
    rows = [table.column_names, *([_cell(value) for value in row.values()] for row in table.to_pylist())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in aligned)


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
