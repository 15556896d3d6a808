"""TEMPORARY: our crawl through the library, with the command's options, until the command is there."""

import argparse
from pathlib import Path

import pyarrow.csv

from geo_pipeline.crawl.bucket import Bucket, crawl_buckets
from geo_pipeline.crawl.settings import CrawlSettings

parser = argparse.ArgumentParser()
for name in ("url-csv", "output", "allow-origin"):
    parser.add_argument(f"--{name}")
for name in ("image-size", "quality", "concurrency", "per-host", "retries"):
    parser.add_argument(f"--{name}", type=int)
parser.add_argument("--ignore-robots", action="store_true")
o = parser.parse_args()
table = pyarrow.csv.read_csv(
    o.url_csv, convert_options=pyarrow.csv.ConvertOptions(column_types={"image_id": "string"})
).rename_columns(["photo_id", "url"])
settings = CrawlSettings(
    image_size=o.image_size,
    quality=o.quality,
    concurrency=o.concurrency,
    per_host=o.per_host,
    retries=o.retries,
    allow_origins=(o.allow_origin,),
)
if __name__ == "__main__":
    for result in crawl_buckets([Bucket("bench-000", table, Path(o.output))], settings):
        if result.error:
            raise result.error
