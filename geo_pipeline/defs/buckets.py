"""Events of single buckets: what is logged when one is finished.

Here lives the difference between "this bucket's content is new" and "nothing to do". The one idea: an event carries
the bucket's data version, code version and the versions of its inputs as Dagster's own tags, because in a run over
many buckets Dagster itself could only give all of them the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from geo_pipeline.defs.history import (
    CODE_VERSION,
    DATA_VERSION,
    INPUT_POINTER,
    INPUT_VERSION,
    NO_EVENT,
    USER_PROVIDED,
    History,
    Place,
)
from geo_pipeline.defs.lineage import MADE_FROM
from geo_pipeline.defs.staleness import FILES, NEVER_OBSERVED, damaged_files

BUCKETS_TAG = "geo_pipeline/buckets"
"""Tag of a run over a range of buckets that is to touch only these (separated by commas)."""


def wanted_buckets(context: dg.AssetExecutionContext) -> list[str]:
    """The buckets of the run's range, or those of them that its tag names."""
    named = context.run.tags.get(BUCKETS_TAG)
    return [key for key in context.partition_keys if named is None or key in named.split(",")]


class BucketEvents:
    """Logs the materializations of one asset with buckets in a running step.

    `upstream` is what it depends on, bucket by bucket, as logged when this is made; `is_input` says that upstream is
    observed, not made.
    """

    def __init__(
        self, context: dg.AssetExecutionContext, folder: Path, asset: str, upstream: str, *, is_input: bool = False
    ) -> None:
        self._context, self._folder, self._asset = context, folder, asset
        self._upstream = upstream
        self._history = History(context.instance)
        self._sources = History(context.instance).latest(upstream, is_input=is_input)
        spec = context.assets_def.specs_by_key[dg.AssetKey(asset)]
        self._code_version, self._made_from = spec.code_version or "", spec.metadata[MADE_FROM]

    def log(self, bucket: str, data_version: str, files: Mapping[str, int], metadata: Mapping[str, object]) -> bool:
        """Log that a bucket holds this content, unless its last event says exactly that. True if logged."""
        tags = self._tags(bucket, data_version)
        if self._is_known(Place(self._asset, bucket), tags, files):
            return False
        facts: dict[str, Any] = {**metadata, FILES: dict(files), MADE_FROM: self._made_from}
        self._context.log_event(dg.AssetMaterialization(self._asset, partition=bucket, metadata=facts, tags=tags))
        return True

    def _is_known(self, place: Place, tags: Mapping[str, str], files: Mapping[str, int]) -> bool:
        """Whether the last event says the same, its files are whole, and no attempt has failed since."""
        last = self._history.latest(self._asset).get(place)
        if last is None or _versions(last.tags) != _versions(tags) or last.json(FILES) != dict(files):
            return False
        if self._history.failure(place) is not None:
            return False
        return not any(damaged_files(last, self._folder))

    def _tags(self, bucket: str, data_version: str) -> dict[str, str]:
        """Dagster's version tags for a bucket whose input is the same bucket upstream."""
        tags = {DATA_VERSION: data_version, CODE_VERSION: self._code_version, USER_PROVIDED: "true"}
        event = self._sources.get(Place(self._upstream, bucket))
        tags[f"{INPUT_VERSION}/{self._upstream}"] = event.data_version if event else NEVER_OBSERVED
        tags[f"{INPUT_POINTER}/{self._upstream}"] = str(event.storage_id) if event else NO_EVENT
        return tags


def _versions(tags: Mapping[str, str]) -> dict[str, str]:
    """The version tags, without pointers to other events."""
    kept = (DATA_VERSION, CODE_VERSION, USER_PROVIDED, INPUT_VERSION)
    return {name: value for name, value in tags.items() if name.startswith(kept)}
