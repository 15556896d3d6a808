"""A crawl in a process of its own: `python -m geo_pipeline_tests.crawl.child JOB`.

The job, a JSON file, has `urls` by photo id, the bucket's `directory` and the `settings`. When the crawl is done, its
requests, its seconds and the process's peak memory are printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from geo_pipeline.crawl.bucket import Bucket, crawl_buckets
from geo_pipeline.crawl.settings import CrawlSettings


def start(urls: Mapping[str, str], directory: Path, settings: CrawlSettings) -> subprocess.Popen[bytes]:
    """Start such a process; it prints an empty line when it begins to crawl."""
    job = {"urls": urls, "directory": str(directory), "settings": settings.model_dump(mode="json")}
    path = directory.with_suffix(".job.json")
    path.write_text(json.dumps(job))
    command = [sys.executable, "-m", "geo_pipeline_tests.crawl.child", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def peak_mb() -> float:
    """The most memory that this process has held so far (`VmHWM`: unlike `ru_maxrss` nothing of its parent's)."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def crawl(path: Path) -> None:
    job = json.loads(path.read_text())
    photos = pa.table({"photo_id": list(job["urls"]), "url": list(job["urls"].values())})
    bucket = Bucket("set-000", photos, Path(job["directory"]))
    print(flush=True)  # noqa: T201 the starter waits for it
    started = time.monotonic()
    [result] = crawl_buckets([bucket], CrawlSettings(**job["settings"]))
    if result.error:
        raise result.error
    seconds = time.monotonic() - started
    print(json.dumps({"requests": result.requests, "seconds": seconds, "peak_mb": peak_mb()}))  # noqa: T201 as above


if __name__ == "__main__":
    crawl(Path(sys.argv[1]))
