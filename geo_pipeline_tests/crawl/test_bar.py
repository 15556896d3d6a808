"""The bar on a real pseudo-terminal, and its rate."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import struct
import sys
import termios

import pytest

from geo_pipeline.crawl.bar import WINDOW_SECONDS, CrawlBar, Pace, pace_text, seconds_left, short
from geo_pipeline.crawl.progress import CrawlProgress, OriginFigures
from geo_pipeline.shards.manifest import Status


def progress(seconds: float, asked: int, settled: int = 0, total: int = 1000) -> CrawlProgress:
    origins = {"https://slow.example:443": OriginFigures(10, 0, 25.0, {})}
    return CrawlProgress(seconds, total, settled + asked, 2, 0, asked, 2000 * asked, {Status.OK: asked}, origins)


def test_photos_found_settled_change_neither_the_rate_nor_the_time_that_is_left() -> None:
    pace = Pace()
    pace.photos_per_second(1.0, 10)
    now = progress(11.0, 110, settled=600)
    rate = pace.photos_per_second(now.seconds, now.photos_asked)
    assert rate == pytest.approx(10.0)
    assert seconds_left(now, rate) == pytest.approx((1000 - 600 - 110) / 10)


def test_the_rate_is_that_of_the_last_minute() -> None:
    pace, asked = Pace(), 0
    for second in range(1, 301):
        asked += 100 if second <= 200 else 3
        rate = pace.photos_per_second(float(second), asked)
    assert rate == pytest.approx(3.0)
    assert len(pace._reports) <= WINDOW_SECONDS + 2


def test_nothing_is_said_of_the_time_left_when_nothing_comes() -> None:
    assert seconds_left(progress(5.0, 0), 0.0) is None
    assert seconds_left(progress(5.0, 0, settled=1000), 0.0) == 0.0
    assert pace_text(progress(5.0, 0), 0.0).endswith("? left")


@pytest.mark.parametrize(
    ("origin", "shown"),
    [("https://a.b:443", "a.b"), ("http://a.b:80", "a.b"), ("http://[::1]:8080", "[::1]:8080"), ("other", "")],
)
def test_an_origin_is_shown_as_a_person_writes_it(origin: str, shown: str) -> None:
    assert short(origin) == shown


def read_all(descriptor: int) -> bytes:
    """What a terminal shows: one read may bring a part of it."""
    shown = b""
    while select.select([descriptor], [], [], 0.2)[0]:
        shown += os.read(descriptor, 100_000)
    return shown


def test_a_terminal_shows_rate_outcomes_bytes_time_left_and_slow_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    with os.fdopen(terminal, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with CrawlBar(1000, shown=True) as bar:
            bar.report(progress(10.0, 200, settled=100))
        stream.flush()
        shown = read_all(main).decode()
    os.close(main)
    bar_line, outcomes, hosts = [line for line in shown.splitlines() if line.strip()][-3:]
    assert "300/1000 photos" in bar_line
    assert "20/s, 400kB, 00:35 left" in bar_line
    assert "outcomes: ok 200" in outcomes
    assert "slowest hosts: slow.example 2.5 s" in hosts


def test_a_bar_that_is_not_shown_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with CrawlBar(1000, shown=False) as bar:
        bar.report(progress(10.0, 200))
    assert stream.getvalue() == ""
