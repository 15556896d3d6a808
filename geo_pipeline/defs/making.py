"""What every asset's function is wrapped in: what it was made from is recorded, and what is fresh can be kept.

Not here: any asset. The one idea: a run that was asked for nothing but what is out of date may find, when it reaches
an asset, that nothing upstream has changed after all; then the asset is kept as it is, and so is what follows.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import dagster as dg

from geo_pipeline.defs.failures import user_errors_as_failures
from geo_pipeline.defs.history import History, Place
from geo_pipeline.defs.inputs import input_deps
from geo_pipeline.defs.io_managers import TABLE_METADATA
from geo_pipeline.defs.lineage import MADE_FROM
from geo_pipeline.defs.orphans import running_step
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.defs.staleness import FILES, State, graph_of, standing
from geo_pipeline.store import read_table

ONLY_STALE = "geo_pipeline/only_stale"
"""Tag of a run that is to keep what turns out to be up to date."""

KEPT = "kept"
"""Metadata of a materialization that made nothing: everything was up to date when the run came to it."""

P = ParamSpec("P")
R = TypeVar("R")


def asset_function(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap the function of an asset without buckets; it needs the resource `experiment`.

    A user's mistake becomes a plain failure, and the result gets the metadata `made_from`.
    """

    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> R:
        context = dg.AssetExecutionContext.get()
        experiment = cast("Experiment", context.resources.experiment)
        with user_errors_as_failures(), running_step(experiment.layout):
            kept = _kept(context, experiment) if ONLY_STALE in context.run.tags else None
            if kept is not None:
                return cast("R", kept)
            result = cast("dg.MaterializeResult[Any]", function(*args, **kwargs))
        return cast("R", _with_metadata(result, {MADE_FROM: made_from(context, context.asset_key.to_user_string())}))

    wrapper: Any = make
    # Dagster compares the annotation of `context` with its classes, so it must not stay a string
    wrapper.__signature__ = inspect.signature(function, eval_str=True)
    return cast("Callable[P, R]", wrapper)


def made_from(context: dg.AssetExecutionContext, asset: str) -> dict[str, Any]:
    """The code parts and profile values of one of the running step's assets, as the definitions give them."""
    return dict(context.assets_def.metadata_by_key[dg.AssetKey(asset)][MADE_FROM])


def _kept(context: dg.AssetExecutionContext, experiment: Experiment) -> dg.MaterializeResult[Any] | None:
    """The asset as it is, if it is up to date by now."""
    place = Place(context.asset_key.to_user_string())
    profile, spec = experiment.profile, context.assets_def.specs_by_key[context.asset_key]
    graph = graph_of([spec], input_deps(profile).values(), profile.bucket_keys())
    found = standing(graph, place, History(context.instance), experiment.layout.folder)
    if found.state is not State.FRESH or found.event is None:
        return None
    context.log.info("up to date: kept as it is")
    table = experiment.layout.table(place.asset)
    value = {"value": read_table(table)} if _is_table(found.event.json(FILES), table) else {}
    metadata = {name: value for name, value in found.event.metadata.items() if name not in TABLE_METADATA}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(found.event.data_version), metadata={**metadata, KEPT: True}, **value
    )


def _is_table(files: Mapping[str, int], table: Path) -> bool:
    return f"tables/{table.name}" in files


def _with_metadata(result: dg.MaterializeResult[Any], more: Mapping[str, Any]) -> dg.MaterializeResult[Any]:
    """The same result with more metadata."""
    return dg.MaterializeResult(
        value=result.value, data_version=result.data_version, metadata={**(result.metadata or {}), **more}
    )
