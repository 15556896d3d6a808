"""Servers and settings that the crawl's tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import Bucket
from geo_pipeline_tests.crawl.servers import PhotoServer, RawServer


@pytest.fixture
def server() -> Iterator[PhotoServer]:
    with closing(PhotoServer()) as running:
        yield running


@pytest.fixture
def raw_server() -> Iterator[Callable[..., RawServer]]:
    """Starts servers that speak the script they are given."""
    with ExitStack() as stack:
        yield lambda *script, **options: stack.enter_context(closing(RawServer(*script, **options)))


@pytest.fixture
def quick() -> Callable[..., CrawlSettings]:
    """Settings of a crawl that waits for nothing longer than a test can."""
    patient = {"timeout_seconds": 2.0, "retries": 1, "backoff_seconds": 0.02, "max_retry_wait_seconds": 2.0}

    def settings(*origins: str, **changes: Any) -> CrawlSettings:
        return CrawlSettings(**{**patient, "allow_origins": origins, **changes})

    return settings


@pytest.fixture
def make_bucket(tmp_path: Path) -> Callable[..., Bucket]:
    def bucket(urls: dict[str, str] | list[str], key: str = "set-000") -> Bucket:
        listed = urls if isinstance(urls, dict) else {str(number): url for number, url in enumerate(urls)}
        photos = pa.table({"photo_id": list(listed), "url": list(listed.values())})
        return Bucket(key, photos, tmp_path / "shards" / key)

    return bucket
