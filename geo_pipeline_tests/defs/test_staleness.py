"""The rules of what is out of date, one by one, on events in Dagster's own log; test_changes.py has the whole world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from geo_pipeline.defs.history import (
    CODE_VERSION,
    DATA_VERSION,
    INPUT_POINTER,
    INPUT_VERSION,
    NO_EVENT,
    History,
    Place,
)
from geo_pipeline.defs.staleness import (
    FILES,
    NEVER_OBSERVED,
    Cause,
    CauseKind,
    Graph,
    Node,
    Standing,
    State,
    file_sizes,
    graph_of,
    standing,
)

BUCKETS = ("world_train-000", "world_train-001")
LISTS, SHARDS = [[Place(asset, bucket) for bucket in BUCKETS] for asset in ("url_lists", "photo_shards")]
METADATA, CELLS, MANIFEST = Place("photo_metadata"), Place("cells_fine"), Place("photo_manifest")
GRAPH = Graph(
    {
        "url_lists": Node("url_lists", ("url_files",), "code", BUCKETS),
        "photo_shards": Node("photo_shards", ("url_lists",), "code", BUCKETS),
        "photo_manifest": Node("photo_manifest", ("photo_shards",), "code"),
        "photo_metadata": Node("photo_metadata", ("metadata_files",), "code"),
        "cells_fine": Node("cells_fine", ("photo_metadata",), "code"),
    },
    frozenset({"url_files", "metadata_files"}),
    BUCKETS,
)


class Log:
    """Writes events as Dagster and the crawl do: each with the versions of what is upstream of it at that moment."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path) -> None:
        self.instance, self.folder = instance, folder

    def observe(self, asset: str, version: str, bucket: str | None = None) -> None:
        event = dg.AssetObservation(asset, partition=bucket, tags={DATA_VERSION: version})
        self.instance.report_runless_asset_event(event)

    def make(self, place: Place, version: str, files: Mapping[str, int] | None = None, graph: Graph = GRAPH) -> None:
        node, history = graph.nodes[place.asset], History(self.instance)
        tags = {DATA_VERSION: version, CODE_VERSION: node.code_version or ""}
        for parent in node.parents:
            events = history.latest(parent, is_input=parent in graph.inputs)
            read = [event for above, event in events.items() if above.bucket == place.bucket or place.bucket is None]
            newest = max(read, key=lambda event: event.storage_id, default=None)
            tags[f"{INPUT_POINTER}/{parent}"] = str(newest.storage_id) if newest else NO_EVENT
            tags[f"{INPUT_VERSION}/{parent}"] = newest.data_version if newest else NEVER_OBSERVED
        metadata = {FILES: dict(files or {})}
        event = dg.AssetMaterialization(place.asset, partition=place.bucket, metadata=metadata, tags=tags)
        self.instance.report_runless_asset_event(event)

    def standing(self, place: Place, graph: Graph = GRAPH) -> Standing:
        return standing(graph, place, History(self.instance), self.folder)

    def causes(self, place: Place, graph: Graph = GRAPH) -> tuple[Cause, ...]:
        found = self.standing(place, graph)
        assert found.state is (State.STALE if found.causes else State.FRESH)
        return found.causes


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """A log in which everything was made once from inputs that were observed."""
    with dg.DagsterInstance.ephemeral() as instance:
        log = Log(instance, tmp_path / "small")
        log.observe("metadata_files", "m1")
        for bucket in BUCKETS:
            log.observe("url_files", "u1", bucket)
        for place in [*LISTS, *SHARDS, MANIFEST, METADATA, CELLS]:
            log.make(place, f"{place} 1")
        yield log


def with_node(asset: str, **changes: object) -> Graph:
    return replace(GRAPH, nodes={**GRAPH.nodes, asset: replace(GRAPH.nodes[asset], **changes)})


def test_nothing_changed_all_is_fresh(log: Log) -> None:
    for node in GRAPH.nodes.values():
        for place in node.places():
            assert log.standing(place).state is State.FRESH


def test_what_was_never_made_is_missing(log: Log) -> None:
    graph = replace(GRAPH, nodes={**GRAPH.nodes, "report": Node("report", ("cells_fine",), "code")})
    assert log.standing(Place("report"), graph).state is State.MISSING


def test_another_code_version_makes_its_asset_stale_and_no_other(log: Log) -> None:
    graph = with_node("photo_metadata", code_version="other code")
    assert log.causes(METADATA, graph) == (Cause(CauseKind.VERSION),)
    assert log.causes(CELLS, graph) == ()


def test_new_content_upstream_makes_stale_and_a_repetition_does_not(log: Log) -> None:
    log.make(METADATA, "photo_metadata 1")
    assert log.causes(CELLS) == ()
    log.make(METADATA, "photo_metadata 2")
    assert log.causes(CELLS) == (Cause(CauseKind.CONTENT, METADATA),)
    log.make(METADATA, "photo_metadata 1")
    assert log.causes(CELLS) == ()


def test_new_content_of_an_input_makes_stale_what_reads_it(log: Log) -> None:
    log.observe("metadata_files", "m2")
    assert log.causes(METADATA) == (Cause(CauseKind.CONTENT, Place("metadata_files")),)
    assert log.causes(CELLS) == ()


def test_a_bucket_depends_on_the_same_bucket_alone(log: Log) -> None:
    log.observe("url_files", "u2", BUCKETS[1])
    assert log.causes(LISTS[0]) == ()
    assert log.causes(LISTS[1]) == (Cause(CauseKind.CONTENT, Place("url_files", BUCKETS[1])),)
    log.make(LISTS[1], "url_lists 2")
    assert log.causes(SHARDS[0]) == ()
    assert log.causes(SHARDS[1]) == (Cause(CauseKind.CONTENT, LISTS[1]),)


def test_what_reads_all_buckets_names_the_changed_ones(log: Log) -> None:
    log.make(SHARDS[0], f"{SHARDS[0]} 1")
    assert log.causes(MANIFEST) == ()
    log.make(SHARDS[1], "other photos")
    assert log.causes(MANIFEST) == (Cause(CauseKind.CONTENT, SHARDS[1]),)
    log.make(SHARDS[1], f"{SHARDS[1]} 1")
    assert log.causes(MANIFEST) == ()


def test_a_dependency_that_is_new_or_gone_makes_stale(log: Log) -> None:
    graph = with_node("cells_fine", parents=("photo_manifest",))
    gone, new = Cause(CauseKind.DEPENDENCY, METADATA), Cause(CauseKind.DEPENDENCY, MANIFEST)
    assert log.causes(CELLS, graph) == (gone, new)


def test_several_causes_are_all_told(log: Log) -> None:
    log.make(METADATA, "photo_metadata 2")
    graph = with_node("cells_fine", code_version="other code")
    assert log.causes(CELLS, graph) == (Cause(CauseKind.VERSION), Cause(CauseKind.CONTENT, METADATA))


def test_a_file_that_is_gone_or_has_another_size_makes_its_place_missing(log: Log) -> None:
    path = log.folder / "tables" / "photo_metadata.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"12345")
    sizes = file_sizes(log.folder, path)
    assert sizes == {"tables/photo_metadata.parquet": 5}
    log.make(METADATA, "photo_metadata 1", sizes)
    assert log.standing(METADATA).state is State.FRESH
    for damage in (lambda: path.write_bytes(b"1234"), path.unlink, path.mkdir):
        damage()
        found = log.standing(METADATA)
        assert (found.state, found.damaged) == (State.MISSING, ("tables/photo_metadata.parquet",))


def test_the_graph_keeps_inputs_out_and_the_order_of_dependencies() -> None:
    specs = [
        dg.AssetSpec("cells_fine", deps=["photo_metadata"], code_version="c"),
        dg.AssetSpec("photo_metadata", deps=["metadata_files"], code_version="m"),
        dg.AssetSpec("url_lists", code_version="u"),
        dg.AssetSpec("metadata_files"),
    ]
    graph = graph_of(specs, ["metadata_files"], BUCKETS)
    assert list(graph.nodes) == ["url_lists", "photo_metadata", "cells_fine"]
    assert graph.nodes["cells_fine"] == Node("cells_fine", ("photo_metadata",), "c")
    assert graph.nodes["url_lists"].places() == LISTS
    assert graph.inputs == {"metadata_files"}


def test_downstream_is_all_that_follows() -> None:
    assert GRAPH.downstream({"url_lists"}) == {"url_lists", "photo_shards", "photo_manifest"}
    assert GRAPH.downstream({"photo_metadata"}) == {"photo_metadata", "cells_fine"}
    assert GRAPH.downstream(set()) == set()
