"""Starting the web of fault_site.py in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class SiteProcess:
    """The web in its own process; `report` is there once it has ended."""

    ports: list[int]
    canary: int
    dead: int
    report: dict[str, Any] = field(default_factory=dict)


@contextmanager
def site(num_origins: int) -> Iterator[SiteProcess]:
    command = [sys.executable, "-m", "geo_pipeline_tests.crawl.fault_site", str(num_origins)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        running = SiteProcess(**json.loads(process.stdout.readline()))
        yield running
        running.report |= json.loads(process.communicate(timeout=30)[0])
    finally:
        process.kill()
        process.communicate()
