"""Events of single buckets: what is logged when one is finished, and what was logged before.

Here lives the difference between "this bucket's content is new" and "nothing to do". The one idea: an event carries
the bucket's data version, code version and the versions of its inputs as Dagster's own tags, because in a run over
many buckets Dagster itself could only give all of them the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

DATA_VERSION = "dagster/data_version"
CODE_VERSION = "dagster/code_version"
USER_PROVIDED = "dagster/data_version_is_user_provided"
INPUT_VERSION = "dagster/input_data_version"
INPUT_POINTER = "dagster/input_event_pointer"


@dataclass(frozen=True)
class BucketEvents:
    """Reads and logs the materializations of one partitioned asset in a running step."""

    context: dg.AssetExecutionContext
    asset: str
    code_version: str
    upstream: tuple[str, ...] = ()

    def log(self, key: str, data_version: str, metadata: Mapping[str, object]) -> bool:
        """Log that a bucket holds this content, unless its last event says exactly that. True if logged."""
        tags = self._tags(key, data_version)
        last = latest_event(self.context.instance, self.asset, key)
        if last is not None and _versions(last) == _without_pointers(tags):
            return False
        event = dg.AssetMaterialization(asset_key=self.asset, partition=key, metadata=metadata, tags=tags)  # type: ignore[arg-type]
        self.context.log_event(event)
        return True

    def _tags(self, key: str, data_version: str) -> dict[str, str]:
        """Dagster's version tags for a bucket whose inputs are the same bucket of the upstream assets."""
        tags = {DATA_VERSION: data_version, CODE_VERSION: self.code_version, USER_PROVIDED: "true"}
        for upstream in self.upstream:
            record = latest_event(self.context.instance, upstream, key)
            if record is not None:
                tags[f"{INPUT_VERSION}/{upstream}"] = _versions(record).get(DATA_VERSION, "")
                tags[f"{INPUT_POINTER}/{upstream}"] = str(record.storage_id)
        return tags


def latest_event(instance: dg.DagsterInstance, asset: str, key: str) -> dg.EventLogRecord | None:
    """The last materialization of a bucket, if there is one."""
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[key])
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0] if records else None


def _versions(record: dg.EventLogRecord) -> dict[str, str]:
    """The version tags of a logged event, without pointers to other events."""
    materialization = record.asset_materialization
    tags = materialization.tags if materialization else None
    return _without_pointers(tags or {})


def _without_pointers(tags: Mapping[str, str]) -> dict[str, str]:
    kept = (DATA_VERSION, CODE_VERSION, USER_PROVIDED, INPUT_VERSION)
    return {name: value for name, value in tags.items() if name.startswith(kept)}
