"""What a person may set, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from geo_pipeline.crawl.settings import CONTENT_SETTINGS, CrawlSettings


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="conccurency"):
        CrawlSettings.model_validate({"conccurency": 3})


@pytest.mark.parametrize("origin", ["127.0.0.1", "http://127.0.0.1:80", "a:b", "::1:80", "host:80/path"])
def test_an_allowed_origin_without_exactly_a_host_and_a_port_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="expected host:port"):
        CrawlSettings(allow_origins=(origin,))


def test_the_agent_header_carries_the_contact() -> None:
    assert CrawlSettings(user_agent="me/1", contact="mailto:me@example.org").agent_header == (
        "me/1 (+mailto:me@example.org)"
    )


def test_every_setting_is_described() -> None:
    assert [name for name, field in CrawlSettings.model_fields.items() if not field.description] == []


def test_the_settings_that_decide_the_content_are_settings() -> None:
    assert set(CONTENT_SETTINGS) <= set(CrawlSettings.model_fields)
    assert len(set(CONTENT_SETTINGS)) == len(CONTENT_SETTINGS)


def test_importing_the_settings_imports_nothing_heavy() -> None:
    heavy = "{'aiohttp', 'PIL', 'pyarrow', 'pandas', 'numpy', 'msgpack'}"
    code = f"import sys, geo_pipeline.crawl.settings; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
