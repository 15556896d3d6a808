"""Whether an asset or a bucket is out of date, and why: Dagster's own rules, with the files on disk looked at as well.

Here lives the decision, from the event log alone and from the sizes of files. Not here: the words for it (status.py)
and what is done about it (launch.py). The one idea: a place is stale by its own doing only: other code, other profile
values, other content upstream. That is what the Dagster page marks too; what merely stands downstream of a stale
asset may turn out to be up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import dagster as dg

from geo_pipeline.defs.history import INPUT_VERSION, Event, Failure, History, Place
from geo_pipeline.defs.lineage import ORIGINS
from geo_pipeline.defs.partitions import BUCKETED

FILES = "files"
"""Metadata of a materialization: path below the profile's folder -> size in bytes, of every file it made."""

NEVER_OBSERVED, NEVER_MADE = "INITIAL", "NULL"
"""Dagster's versions of an input that was never observed and of an asset that was never made."""


class State(StrEnum):
    """How a place stands."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"
    FAILED = "failed"


class CauseKind(StrEnum):
    """What makes a place stale."""

    VERSION = "version"
    CONTENT = "content"
    DEPENDENCY = "dependency"


@dataclass(frozen=True)
class Cause:
    """One reason: another code or profile version of its own, or an upstream place with other content."""

    kind: CauseKind
    upstream: Place | None = None


@dataclass(frozen=True)
class Node:
    """An asset in the graph: what it depends on, its code version, and its buckets if it has any."""

    asset: str
    parents: tuple[str, ...]
    code_version: str | None
    buckets: tuple[str, ...] = ()

    def places(self) -> list[Place]:
        """The asset, or its buckets."""
        return [Place(self.asset, bucket) for bucket in self.buckets] or [Place(self.asset)]


@dataclass(frozen=True)
class Graph:
    """The assets in dependency order, and the inputs among their parents."""

    nodes: Mapping[str, Node]
    inputs: frozenset[str]
    bucket_keys: tuple[str, ...]

    def downstream(self, assets: Iterable[str]) -> set[str]:
        """Some assets and everything that depends on them."""
        found = set(assets)
        for name, node in self.nodes.items():
            if found & set(node.parents):
                found.add(name)
        return found


@dataclass(frozen=True)
class Standing:
    """How a place stands and all that was found out about it; `damaged` files are gone or have another size."""

    place: Place
    state: State
    event: Event | None
    causes: tuple[Cause, ...] = ()
    damaged: tuple[str, ...] = ()
    failure: Failure | None = None


def graph_of(specs: Iterable[dg.AssetSpec], inputs: Iterable[str], bucket_keys: Iterable[str]) -> Graph:
    """The graph of some specs, inputs left out of the nodes."""
    keys, outside = tuple(bucket_keys), frozenset(inputs)
    nodes = {
        name: Node(name, _parents(spec), spec.code_version, keys if name in BUCKETED else ())
        for spec in specs
        if (name := spec.key.to_user_string()) not in outside
    }
    return Graph({name: nodes[name] for name in ORIGINS if name in nodes}, outside, keys)


def standing(graph: Graph, place: Place, history: History, folder: Path) -> Standing:
    """How a place stands; `folder` is the profile's, under which the recorded files lie."""
    event, failure = history.latest(place.asset).get(place), history.failure(place)
    causes = tuple(stale_causes(graph, place, history)) if event else ()
    damaged = tuple(damaged_files(event, folder)) if event else ()
    state = State.MISSING if event is None or damaged else State.STALE if causes else State.FRESH
    if failure is not None and failure.all_buckets and state is State.FRESH:
        failure = None
    return Standing(place, State.FAILED if failure else state, event, causes, damaged, failure)


def stale_causes(graph: Graph, place: Place, history: History) -> Iterator[Cause]:
    """Every reason why a made place is out of date; nothing for one that was never made."""
    event, node = history.latest(place.asset).get(place), graph.nodes[place.asset]
    if event is None:
        return
    if node.code_version and event.code_version != node.code_version:
        yield Cause(CauseKind.VERSION)
    known = {tag.removeprefix(f"{INPUT_VERSION}/") for tag in event.tags if tag.startswith(f"{INPUT_VERSION}/")}
    yield from (Cause(CauseKind.DEPENDENCY, Place(gone)) for gone in sorted(known - set(node.parents)))
    for parent in node.parents:
        if event.input_pointer(parent) is None:
            yield Cause(CauseKind.DEPENDENCY, Place(parent))
        elif parent in BUCKETED:
            yield from _changed_buckets(graph, event, place, parent, history)
        elif event.input_version(parent) != _current_version(graph, parent, history):
            yield Cause(CauseKind.CONTENT, Place(parent))


def file_sizes(folder: Path, *paths: Path) -> dict[str, int]:
    """The metadata `files` of some files below the profile's folder."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}


def damaged_files(event: Event, folder: Path) -> Iterator[str]:
    """The files of a materialization that are gone or have another size than when they were made."""
    for name, size in event.json(FILES).items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            yield name


def _changed_buckets(graph: Graph, event: Event, place: Place, parent: str, history: History) -> Iterator[Cause]:
    """The buckets of a parent whose content is not the one that went into an event."""
    is_input = parent in graph.inputs
    pointer = event.input_pointer(parent) or 0
    for bucket in [place.bucket] if place.bucket else graph.bucket_keys:
        upstream = Place(parent, bucket)
        now = history.latest(parent, is_input=is_input).get(upstream)
        if now is not None and now.storage_id > pointer:
            before = history.at(upstream, pointer, is_input=is_input)
            if before is None or before.data_version != now.data_version:
                yield Cause(CauseKind.CONTENT, upstream)


def _current_version(graph: Graph, parent: str, history: History) -> str:
    """The version that an upstream asset without buckets has now."""
    is_input = parent in graph.inputs
    event = history.latest(parent, is_input=is_input).get(Place(parent))
    return event.data_version if event else NEVER_OBSERVED if is_input else NEVER_MADE


def _parents(spec: dg.AssetSpec) -> tuple[str, ...]:
    return tuple(sorted({dep.asset_key.to_user_string() for dep in spec.deps} - {spec.key.to_user_string()}))
