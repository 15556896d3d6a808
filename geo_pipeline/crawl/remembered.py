"""Which settings a bucket's rows were made with, and what other settings put in doubt.

Here live the text that manifest and ledger keep of the settings, and the comparison of two such texts. Not here: when
a photo is due (planning.py). The one idea: an outcome stays true until a setting that decided it has changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pyarrow as pa

from geo_pipeline.crawl.settings import LIMIT_SETTINGS, STORED_SETTINGS, CrawlSettings
from geo_pipeline.shards.manifest import Status

_LIMITS_KEY = "geo_pipeline.crawl_limits"
_STORED_KEY = "geo_pipeline.crawl_stored"

_LIMITED = frozenset(status for status in Status if status.depends_on_limits)
_FINAL = frozenset(status for status in Status if not status.is_retried)


def remembered_settings(settings: CrawlSettings) -> dict[str, str]:
    """What a bucket remembers of its settings; the schema metadata of a manifest and the first line of a ledger."""
    same_meaning = {"size_suffix": settings.size_suffix.removeprefix("_")}
    values = {**settings.model_dump(mode="json"), **same_meaning}
    return {_LIMITS_KEY: _text(values, LIMIT_SETTINGS), _STORED_KEY: _text(values, STORED_SETTINGS)}


def settings_of(manifest: pa.Table) -> dict[str, str]:
    """What a manifest remembers; an older one lacks some of it."""
    metadata = manifest.schema.metadata or {}
    return {key: metadata[key.encode()].decode() for key in (_LIMITS_KEY, _STORED_KEY) if key.encode() in metadata}


def doubted_statuses(then: Mapping[str, str], now: Mapping[str, str]) -> frozenset[Status]:
    """The outcomes under the settings `then` that the settings `now` could have decided otherwise.

    Other limits put refusals in doubt, another look of stored pictures the stored ones, and another size suffix, with
    which another URL is asked, every outcome that is not retried anyway. What `then` does not know of stored pictures
    counts as unchanged.
    """
    limited = _LIMITED if then.get(_LIMITS_KEY) != now.get(_LIMITS_KEY) else frozenset()
    before, after = (json.loads(settings.get(_STORED_KEY, "{}")) for settings in (then, now))
    changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    if "size_suffix" in changed:
        return _FINAL
    return limited | {Status.OK} if changed else limited


def _text(values: Mapping[str, object], names: Iterable[str]) -> str:
    return json.dumps({name: values[name] for name in names}, sort_keys=True)
