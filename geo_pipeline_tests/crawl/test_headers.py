"""What headers ask for, by their specifications."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from geo_pipeline.crawl.headers import opt_out, retry_after_seconds

NOW = datetime(1999, 12, 31, 23, 59, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 30.0),  # the example of RFC 9110, section 10.2.3
        ("Fri, 31 Dec 1999 20:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("9" * 400, 315_360_000.0),  # ten years: no later date breaks anything
        ("Fri, 31 Dec 9999 23:59:59 GMT", 315_360_000.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


@pytest.mark.parametrize(
    "tags",
    [
        ["noai"],
        ["NoImageAI"],
        ["index, noindex"],
        ["noimageindex"],
        ["all", "none"],
        ["geo_pipeline: noai"],
        ["*: noai"],
    ],
)
def test_a_directive_for_all_or_for_us_is_an_opt_out(tags: list[str]) -> None:
    assert opt_out(tags, None, "geo_pipeline/0.1")


@pytest.mark.parametrize(
    "tags",
    [
        [],
        ["all"],
        ["nofollow, noarchive"],
        ["otherbot: noindex, noai"],
        ["max-image-preview: none"],
        ["unavailable_after: 25 Jun 2010 15:00:00 PST"],
    ],
)
def test_other_directives_and_other_agents_are_no_opt_out(tags: list[str]) -> None:
    assert opt_out(tags, None, "geo_pipeline/0.1") is None


@pytest.mark.parametrize(("value", "forbids"), [("1", True), (" 1 ", True), ("0", False), (None, False)])
def test_a_tdm_reservation_of_one_is_an_opt_out(value: str | None, forbids: bool) -> None:
    assert (opt_out([], value, "x/1") is not None) == forbids
