"""`geo-pipeline download`: a URL list into a folder of shards, without a profile.

Here live its options and what it prints. Not here: any work (crawl.download). The one idea: every setting of a crawl
that the command offers has the name and the default that it has in a profile.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.errors import InputError, explain
from geo_pipeline.lock import LockedError, exclusive

if TYPE_CHECKING:
    from geo_pipeline.crawl.download import Download, Downloaded
    from geo_pipeline.crawl.storage import Bucket

DEFAULT_SEED = 10
_SETTINGS = {
    "image_size": ("--image-size", int, "PIXELS"),
    "quality": ("--quality", int, "1..100"),
    "size_suffix": ("--size-suffix", str, "TEXT"),
    "concurrency": ("--concurrency", int, "N"),
    "per_host": ("--per-host", int, "N"),
    "timeout_seconds": ("--timeout", float, "SECONDS"),
    "retries": ("--retries", int, "N"),
    "user_agent": ("--user-agent", str, "TEXT"),
    "contact": ("--contact", str, "URL"),
    "refresh_after_days": ("--refresh-after", float, "DAYS"),
    "records_per_shard": ("--records-per-shard", int, "N"),
}
"""Setting of a crawl -> option, type, what stands for its value."""


class _WithoutPandas(MetaPathFinder):
    """Finds no pandas."""

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> None:
        """Not to be found."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname, name=fullname)


def keep_pandas_out() -> None:
    """Make a whole process do without pandas, which Arrow would load to look whether values are its own.

    That would take 0.7 seconds and 40 MB at every start (`benchmarks/crawl.py`).
    """
    sys.meta_path.insert(0, _WithoutPandas())


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument("--url-csv", type=Path, required=True, metavar="FILE", help="the list: image_id,url")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the shards")
    parser.add_argument("--shuffle", action="store_true", help="take the list in a random order")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of that order (default: %(default)s)")
    for name, (option, kind, metavar) in _SETTINGS.items():
        field = CrawlSettings.model_fields[name]
        default = "" if field.default in (None, "") else f" (default: {field.default})"
        parser.add_argument(option, dest=name, type=kind, metavar=metavar, help=f"{field.description}{default}")
    parser.add_argument(
        "--allow-origin",
        nargs="+",
        action="extend",
        default=[],
        metavar="HOST:PORT",
        help=str(CrawlSettings.model_fields["allow_origins"].description),
    )
    robots = parser.add_mutually_exclusive_group()
    robots.add_argument("--respect-robots", dest="respect_robots", action="store_true", help="the default")
    robots.add_argument("--ignore-robots", dest="respect_robots", action="store_false", help="of your own server, say")
    parser.set_defaults(respect_robots=True)
    parser.add_argument("--removal-list", type=Path, metavar="FILE", help="CSV of photos that must not be kept")
    parser.add_argument("--skip-bad-rows", action="store_true", help="leave them out and write them to rejects.csv")
    parser.add_argument("--start-over", action="store_true", help="forget what earlier downloads left in the folder")
    parser.add_argument("--dry-run", action="store_true", help="say what is due, and ask for nothing")


def run(options: argparse.Namespace) -> int:
    """Download what is due; the exit code."""
    import pyarrow as pa

    from geo_pipeline.crawl.download import WORK_FOLDER, Download, due, prepare, start_over

    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps some 60 MB more, for speed that is not needed here
    settings = _settings(options)
    seed = options.seed if options.shuffle else None
    download = Download(options.url_csv, options.output, seed, options.removal_list, options.skip_bad_rows)
    with _alone(options.output / f"{WORK_FOLDER}.lock", options.output):
        if options.start_over:
            start_over(options.output)
        parts = prepare(download)
        if options.dry_run:
            found = due(parts, settings, datetime.now(UTC))
            refreshed = f", {found.num_refreshed:,} of them only for changes" if found.num_refreshed else ""
            print(f"{found.num_listed:,} photos listed, {found.num_due:,} due{refreshed}")
            return 0
        return _download(download, parts, settings)


def _download(download: Download, parts: list[Bucket], settings: CrawlSettings) -> int:
    from geo_pipeline.crawl.bar import CrawlBar
    from geo_pipeline.crawl.download import download_parts

    with CrawlBar(sum(part.num_photos for part in parts), shown=sys.stderr.isatty()) as bar:
        done = download_parts(parts, download.output, settings, on_progress=bar.report)
    for error in done.errors:
        print(f"geo-pipeline: {explain(error) or repr(error)}", file=sys.stderr)
    if done.errors:
        return 2 if all(explain(error) for error in done.errors) else 1
    print(_summary(done, download))
    return 0


def _summary(done: Downloaded, download: Download) -> str:
    """What has come of the list, by host."""
    from geo_pipeline.crawl.storage import MANIFEST
    from geo_pipeline.crawl.summary import outcomes_by_host_text

    photos, bytes_received = f"{done.num_photos:,} photos", f"{done.bytes_received / 1e6:,.1f} MB"
    numbers = f"{photos}, {done.requests:,} requests, {bytes_received}, {done.num_duplicates:,} duplicates"
    return "\n".join([outcomes_by_host_text(done.counts), numbers, f"Manifest: {download.output / MANIFEST}"])


@contextmanager
def _alone(lock: Path, output: Path) -> Iterator[None]:
    """Keep other downloads out of the folder. Raises InputError if one is at work there."""
    try:
        with exclusive(lock, wait=False, on_wait=lambda _: None):
            yield
    except LockedError as error:
        raise InputError(f"{output}: being downloaded by {error}; wait for it or stop it") from error


def _settings(options: argparse.Namespace) -> CrawlSettings:
    """The settings of the crawl. Raises InputError naming the option of a value that cannot be."""
    given = {name: getattr(options, name) for name in _SETTINGS if getattr(options, name) is not None}
    try:
        origins = tuple(options.allow_origin)
        return CrawlSettings(**given, allow_origins=origins, respect_robots=options.respect_robots)
    except ValidationError as error:
        lines = []
        for each in error.errors():
            name = str(each["loc"][0])
            option = _SETTINGS[name][0] if name in _SETTINGS else "--allow-origin"
            lines.append(f"{option}: found {each['input']!r}: {each['msg']}")
        raise InputError("\n".join(lines)) from error
