"""Outcomes by host against urllib's idea of a host."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.crawl.summary import (
    NO_HOST,
    OTHER_HOSTS,
    count_by_host,
    outcomes_by_host,
    outcomes_by_host_text,
    outcomes_by_photo_set,
)
from geo_pipeline.shards.manifest import Status, empty_manifest

URLS = st.builds(
    "{}://{}{}/{}".format,
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(["", "me@", "me:word@"]),
    st.sampled_from(["a.example", "B.example", "c.example:8080", "[::1]:80", "d.example"]),
    st.sampled_from(["1.jpg", "x@y/2.jpg?u=http://z.example/"]),
)
ROWS = st.lists(st.tuples(URLS, st.sampled_from(list(Status))), max_size=60)


@settings(deadline=None)
@given(rows=ROWS, hosts=st.integers(1, 6))
def test_every_photo_is_counted_once_under_its_host_or_the_others(rows: list[tuple[str, Status]], hosts: int) -> None:
    manifest = pa.table({"url": [url for url, _ in rows], "status": [str(status) for _, status in rows]}, _SCHEMA)
    expected = Counter((urlsplit(url).netloc.rpartition("@")[2].lower(), str(status)) for url, status in rows)
    totals = Counter(host for host, _ in expected.elements())
    table = outcomes_by_host(count_by_host(manifest), hosts).to_pylist()
    named = {row["host"] for row in table} - {OTHER_HOSTS}
    assert len(named) == min(hosts, len(totals))
    assert all(totals[name] >= totals[other] for name in named for other in totals.keys() - named)
    for row in table:
        cells = {name: count for name, count in row.items() if name not in {"host", "photos"} and count}
        mine = {host for host in totals if host == row["host"] or (row["host"] == OTHER_HOSTS and host not in named)}
        assert cells == Counter(status for host, status in expected.elements() if host in mine)
        assert row["photos"] == sum(cells.values())
    assert sum(row["photos"] for row in table) == len(rows)


_SCHEMA = pa.schema([("url", pa.string()), ("status", pa.string())])


def test_failures_stand_in_columns_by_their_number_and_zeros_are_left_out_of_the_text() -> None:
    outcomes = ["ok", "gone", "timeout", "gone", "ok"]
    urls = ["http://a/1", "http://a/2", "http://b/3", "nothing", "http://a/5"]
    manifest = pa.table({"url": urls, "status": outcomes}, _SCHEMA)
    assert outcomes_by_host(count_by_host(manifest)).column_names == ["host", "photos", "ok", "gone", "timeout"]
    assert outcomes_by_host_text(count_by_host(manifest)).splitlines() == [
        "host     photos  ok  gone  timeout",
        "a             3   2     1",
        "b             1                  1",
        f"{NO_HOST}       1         1",
    ]


@pytest.mark.parametrize("hosts", [1, 20])
def test_an_empty_manifest_has_no_hosts(hosts: int) -> None:
    assert outcomes_by_host(count_by_host(empty_manifest()), hosts).to_pydict() == {"host": [], "photos": [], "ok": []}


def test_photo_sets_are_counted_in_the_order_of_their_names() -> None:
    manifest = pa.table({"photo_set": ["b", "a", "b", "b"], "status": ["ok", "gone", "gone", "timeout"]})
    assert outcomes_by_photo_set(manifest).to_pylist() == [
        {"photo_set": "a", "photos": 1, "ok": 0, "gone": 1, "timeout": 0},
        {"photo_set": "b", "photos": 3, "ok": 1, "gone": 1, "timeout": 1},
    ]
