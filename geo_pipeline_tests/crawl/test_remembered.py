"""Which outcomes a change of settings puts in doubt."""

from __future__ import annotations

from typing import Any

import pytest

from geo_pipeline.crawl.remembered import doubted_statuses, remembered_settings, settings_of
from geo_pipeline.crawl.settings import CONTENT_SETTINGS, CrawlSettings
from geo_pipeline.shards.manifest import Status, empty_manifest

LIMITED = {status for status in Status if status.depends_on_limits}
FINAL = {status for status in Status if not status.is_retried}
BEFORE = remembered_settings(CrawlSettings(size_suffix="z"))


def after(**changes: Any) -> dict[str, str]:
    return remembered_settings(CrawlSettings(**{"size_suffix": "z", **changes}))


@pytest.mark.parametrize(
    ("changes", "doubted"),
    [
        ({}, set()),
        ({"size_suffix": "_z"}, set()),
        ({"per_host": 1, "retries": 9, "user_agent": "x", "records_per_shard": 5, "decode_threads": 1}, set()),
        ({"max_bytes": 5}, LIMITED),
        ({"allow_origins": ["127.0.0.1:80"]}, LIMITED),
        ({"image_size": 64}, {Status.OK}),
        ({"quality": 50, "min_side": 5}, LIMITED | {Status.OK}),
        ({"size_suffix": ""}, FINAL),
    ],
)
def test_a_change_puts_in_doubt_what_it_could_decide_otherwise(changes: dict[str, Any], doubted: set[Status]) -> None:
    assert doubted_statuses(BEFORE, after(**changes)) == doubted
    assert doubted_statuses(after(**changes), BEFORE) == doubted


def test_every_setting_that_decides_the_content_is_remembered_and_no_other() -> None:
    values: dict[str, Any] = {"allow_origins": ("h:1",), "placeholder_sha256": ("0" * 64,), "contact": "me"}
    values["refresh_after_days"] = 1.0
    for name, field in CrawlSettings.model_fields.items():
        default = field.default
        value = values.get(
            name,
            not default if isinstance(default, bool) else default + 1 if isinstance(default, int | float) else ("p",),
        )
        if isinstance(default, str):
            value = "other"
        changed = CrawlSettings(**{name: value})
        differs = remembered_settings(changed) != remembered_settings(CrawlSettings())
        assert differs == (name in CONTENT_SETTINGS), name


def test_a_manifest_gives_back_what_it_remembers() -> None:
    assert settings_of(empty_manifest()) == {}
    assert settings_of(empty_manifest().replace_schema_metadata({**BEFORE, "other": "x"})) == BEFORE


def test_stored_pictures_of_an_older_manifest_count_as_unchanged() -> None:
    limits_only = {key: value for key, value in BEFORE.items() if "limits" in key}
    assert doubted_statuses(limits_only, after(image_size=1, size_suffix="")) == set()
    assert doubted_statuses({}, BEFORE) == LIMITED
