"""The progress of a crawl on a terminal: how far, how fast, what came of it, and which hosts are slow.

Not here: counting (tally.py) and the Dagster page (defs room). The one idea: photos that were found settled cost no
time, so they move the bar but not the rate, and the time that is left follows from the photos really asked for.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from typing import NoReturn, Self

from tqdm import tqdm

from geo_pipeline.crawl.progress import CrawlProgress, OriginFigures, slowest_origins
from geo_pipeline.shards.manifest import Status

WINDOW_SECONDS = 60.0
SLOWEST_SHOWN = 3
_BAR = "crawl {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} photos in {elapsed}{postfix}"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Pace:
    """The recent rate of a crawl, from the reports of the last minute."""

    def __init__(self) -> None:
        self._reports: deque[tuple[float, int]] = deque()

    def photos_per_second(self, seconds: float, photos_asked: int) -> float:
        """Photos asked for and answered per second of late; call it with the numbers of each report."""
        self._reports.append((seconds, photos_asked))
        while len(self._reports) > 2 and self._reports[1][0] < seconds - WINDOW_SECONDS:
            self._reports.popleft()
        begun, before = self._reports[0] if len(self._reports) > 1 else (0.0, 0)
        return (photos_asked - before) / max(seconds - begun, 1e-9)


def seconds_left(progress: CrawlProgress, photos_per_second: float) -> float | None:
    """How long the rest takes at this rate; None if nothing can be said.

    Photos of buckets that are not yet opened count as due, so the time is rather too long than too short.
    """
    if not progress.photos_left:
        return 0.0
    return progress.photos_left / photos_per_second if photos_per_second > 0 else None


class CrawlBar:
    """Three lines at the foot of a terminal; a context manager. Nothing is shown unless `shown`.

    `total`: photos of all lists.
    """

    def __init__(self, total: int, *, shown: bool) -> None:
        self._total, self._shown = total, shown
        self._pace = Pace()

    def __enter__(self) -> Self:
        self._bar = self._line(0, total=self._total, bar_format=_BAR)
        self._outcomes = self._line(1, total=0, bar_format="{desc}")
        self._hosts = self._line(2, total=0, bar_format="{desc}")
        return self

    def __exit__(self, *_: object) -> None:
        for line in (self._bar, self._outcomes, self._hosts):  # in this order they stay as they are
            line.close()

    def report(self, progress: CrawlProgress) -> None:
        """Show how far the crawl is; pass it to `crawl_buckets` as `on_progress`."""
        rate = self._pace.photos_per_second(progress.seconds, progress.photos_asked)
        self._bar.set_postfix_str(pace_text(progress, rate), refresh=False)
        self._outcomes.set_description_str(outcomes_text(progress.outcomes), refresh=False)
        self._hosts.set_description_str(slowest_text(progress.origins), refresh=False)
        self._bar.n = progress.photos_done
        for line in (self._bar, self._outcomes, self._hosts):
            line.refresh()

    def _line(self, position: int, total: int, bar_format: str) -> tqdm[NoReturn]:
        return tqdm(
            total=total,
            bar_format=bar_format,
            position=position,
            disable=not self._shown,
            file=sys.stderr,
            dynamic_ncols=True,
        )


def pace_text(progress: CrawlProgress, photos_per_second: float) -> str:
    """Rate, bytes and the time that is left, in one line."""
    left = seconds_left(progress, photos_per_second)
    remaining = "?" if left is None else tqdm.format_interval(left)
    received = tqdm.format_sizeof(progress.bytes_received, "B", 1000)
    rate = f"{photos_per_second:,.0f}" if photos_per_second >= 10 else f"{photos_per_second:.2g}"
    return f"{rate}/s, {received}, {remaining} left"


def outcomes_text(outcomes: Mapping[Status, int]) -> str:
    """Outcomes, the most frequent first, in one line."""
    by_count = sorted(outcomes.items(), key=lambda item: -item[1])
    return "  outcomes: " + (", ".join(f"{status} {count:,}" for status, count in by_count) or "none")


def slowest_text(origins: Mapping[str, OriginFigures]) -> str:
    """The slowest origins in one line."""
    slowest = slowest_origins(origins, SLOWEST_SHOWN)
    shown = ", ".join(f"{short(origin)} {each.mean_seconds:.2g} s" for origin, each in slowest)
    return f"  slowest hosts: {shown or 'none'}"


def short(origin: str) -> str:
    """An origin as a person writes it: without the scheme's own port."""
    scheme, _, host = origin.partition("://")
    return host.removesuffix(_DEFAULT_PORTS.get(scheme, ""))
