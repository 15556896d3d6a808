"""Our crawl without the command around it: `crawl_buckets` on one bucket.

`python -m crawling.library --url-csv FILE --output FOLDER ...` takes those of the command's options that matter here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from geo_pipeline.crawl.bucket import Bucket, crawl_buckets
from geo_pipeline.crawl.settings import CrawlSettings


def main() -> None:
    """Read the arguments and crawl."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url-csv", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--allow-origin", required=True)
    for name in ("--image-size", "--quality", "--retries", "--concurrency", "--per-host"):
        parser.add_argument(name, type=int, required=True)
    options = parser.parse_args()
    listed = pa.csv.read_csv(options.url_csv).rename_columns(["photo_id", "url"])
    for result in crawl_buckets([Bucket("list-000", listed, options.output)], _settings(options)):
        if result.error:
            raise result.error


def _settings(options: argparse.Namespace) -> CrawlSettings:
    return CrawlSettings(
        image_size=options.image_size,
        quality=options.quality,
        retries=options.retries,
        concurrency=options.concurrency,
        per_host=options.per_host,
        allow_origins=(options.allow_origin,),
    )


if __name__ == "__main__":
    main()
