"""The table of outcomes in the docs says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest
from yarl import URL

import geo_pipeline.crawl
from geo_pipeline.crawl.decisions import Again, Visit, decide
from geo_pipeline.crawl.fetching import Reply
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.shards.manifest import Status

TABLE = Path(geo_pipeline.crawl.__file__).with_name("OUTCOMES.md")


LINES = [line for line in TABLE.read_text().splitlines() if line.startswith("| `")]


def rows() -> dict[str, list[str]]:
    """[what happened, again in this crawl, by a later crawl] by status."""
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in LINES]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_status_stands_in_the_table_once_in_the_order_of_the_code() -> None:
    assert list(rows()) == [status.value for status in Status]
    assert len(LINES) == len(Status)


@pytest.mark.parametrize("status", Status)
def test_the_table_says_what_is_tried_again_in_a_crawl(status: Status) -> None:
    url = URL("http://h/1.jpg")
    step = decide(Visit(None, "1", str(url), url, url), Reply(url, status), CrawlSettings(retries=1), 0.5)
    assert rows()[status][1] == ("yes" if isinstance(step, Again) else "no")


@pytest.mark.parametrize("status", Status)
def test_the_table_says_what_a_later_crawl_asks_for_again(status: Status) -> None:
    expected = "when due" if status.is_retried else "if limits change" if status.depends_on_limits else "never"
    assert rows()[status][2] == ("if its picture would look different" if status is Status.OK else expected)


@pytest.mark.parametrize("name", [word for word in TABLE.read_text().split("`") if "_" in word and " " not in word])
def test_every_name_in_the_page_exists(name: str) -> None:
    columns = {"http_status", "next_attempt_at"}
    assert name in {*CrawlSettings.model_fields, *(status.value for status in Status), *columns}
