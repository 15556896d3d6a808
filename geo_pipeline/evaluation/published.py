"""What the papers reached on Im2GPS and Im2GPS3k, to stand beside what a model here reaches.

Here live the published numbers, each with its source, and the recognition of their benchmarks. Not here: our own
numbers (accuracy.py). The one idea: a comparison says how many photos it is about, because photos of a benchmark may be
gone, and numbers over other photos are other numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa

from geo_pipeline.evaluation.accuracy import AccuracyRow

RADII_KM = (1, 25, 200, 750, 2500)
"""The radii of every published row."""

PAPER = "Müller-Budack, Pustu-Iren, Ewerth: Geolocation Estimation of Photos using a Hierarchical Model and Scene"
PAPER_SOURCE = f"{PAPER} Classification, ECCV 2018"
"""The rows called original, and ISN."""

REPRODUCTION_SOURCE = "the paper's authors' own later training of the same network in PyTorch"
"""The rows called base(M, ·)."""


@dataclass(frozen=True)
class PublishedRow:
    """One published line: `percents` are shares of photos within each of `RADII_KM`.

    `model` and `p_key` name the rows here that it is to be compared with.
    """

    label: str
    model: str
    p_key: str
    percents: tuple[float, float, float, float, float]


@dataclass(frozen=True)
class PublishedBenchmark:
    """A benchmark of the papers, with the number of its photos."""

    title: str
    num_photos: int
    rows: tuple[PublishedRow, ...]


def _base(head: str, p_key: str, *percents: float) -> PublishedRow:
    return _row(f"base(M, {head})", "base", p_key, percents)


def _original(label: str, model: str, *percents: float) -> PublishedRow:
    return _row(label, model, "hierarchy", percents)


def _row(label: str, model: str, p_key: str, percents: Sequence[float]) -> PublishedRow:
    one, city, region, country, continent = percents
    return PublishedRow(label, model, p_key, (one, city, region, country, continent))


IM2GPS = PublishedBenchmark(
    "Im2GPS",
    237,
    (
        _base("c", "coarse", 9.3, 31.6, 49.8, 67.1, 78.9),
        _base("m", "middle", 13.9, 34.6, 48.1, 68.4, 79.3),
        _base("f", "fine", 15.6, 39.2, 48.9, 65.8, 78.5),
        _base("f*", "hierarchy", 14.8, 37.6, 48.9, 68.4, 78.9),
        _original("base(M, f*), original", "base", 15.2, 40.9, 51.5, 65.4, 78.5),
        _original("ISN(M, f*, S3), original", "isn", 16.9, 43.0, 51.9, 66.7, 80.2),
    ),
)
IM2GPS3K = PublishedBenchmark(
    "Im2GPS3k",
    2997,
    (
        _base("c", "coarse", 6.2, 24.3, 36.3, 51.7, 67.0),
        _base("m", "middle", 8.3, 26.2, 35.7, 51.4, 66.5),
        _base("f", "fine", 9.9, 27.3, 36.2, 51.2, 66.4),
        _base("f*", "hierarchy", 10.1, 28.0, 36.9, 51.1, 67.0),
        _original("base(M, f*), original", "base", 9.7, 27.0, 35.6, 49.2, 66.0),
        _original("ISN(M, f*, S3), original", "isn", 10.5, 28.0, 36.6, 49.7, 66.0),
    ),
)


def published_benchmark(*names: str) -> PublishedBenchmark | None:
    """The benchmark of the papers that one of a photo set's names (key, title) means.

    Upper and lower case, spaces and marks don't matter: `im2gps`, `Im2GPS`, `im2gps_3k`, `IM2GPS 3k`.
    """
    known = {_plain(each.title): each for each in (IM2GPS, IM2GPS3K)}
    return next((known[_plain(name)] for name in names if _plain(name) in known), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


@dataclass(frozen=True)
class Compared:
    """A line of a comparison: percents by radius; of ours also the ends of the interval, and what is unknown left out.

    `num_photos`: how many photos the percents are shares of.
    """

    label: str
    ours: bool
    percents: Mapping[int, float]
    intervals: Mapping[int, tuple[float, float]]
    num_photos: int


@dataclass(frozen=True)
class Comparison:
    """Published lines, each followed by ours of the same head; `num_photos` of the published ones were really there."""

    benchmark: str
    published: PublishedBenchmark
    num_photos: int
    lines: tuple[Compared, ...]

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the published lines stand, by what they are called."""
        return {"base(M, ·)": REPRODUCTION_SOURCE, "original": PAPER_SOURCE}


def comparisons(accuracy: pa.Table, titles: Mapping[str, str]) -> list[Comparison]:
    """Our rows beside the published ones, for each benchmark that the papers know.

    accuracy: `benchmark_accuracy`; titles: the title of a benchmark by its name, where it has one.
    """
    rows = AccuracyRow.from_table(accuracy)
    found = []
    for name in dict.fromkeys(row.benchmark for row in rows):
        published = published_benchmark(name, titles.get(name, name))
        if published is not None:
            ours = [row for row in rows if row.benchmark == name]
            found.append(Comparison(titles.get(name, name), published, ours[0].num_photos, _lines(published, ours)))
    return found


def _lines(published: PublishedBenchmark, ours: Sequence[AccuracyRow]) -> tuple[Compared, ...]:
    """Published lines in their order, ours after those of the same model and head; a row without any is left out."""
    lines: list[Compared] = []
    for heading, rows in groupby(published.rows, key=lambda row: (row.model, row.p_key)):
        lines += [_theirs(row, published.num_photos) for row in rows]
        lines += [_ours(row) for row in ours if (row.model, row.p_key) == heading]
    return tuple(lines)


def _theirs(row: PublishedRow, num_photos: int) -> Compared:
    percents = dict(zip(RADII_KM, row.percents, strict=True))
    return Compared(row.label, ours=False, percents=percents, intervals={}, num_photos=num_photos)


def _ours(row: AccuracyRow) -> Compared:
    shares = {radius: row.accuracies[radius] for radius in RADII_KM if radius in row.accuracies}
    return Compared(
        label=f"ours: {row.model}, {row.label}",
        ours=True,
        percents={radius: percent for radius, (percent, _, _) in shares.items()},
        intervals={radius: (low, high) for radius, (_, low, high) in shares.items()},
        num_photos=row.num_photos,
    )


def comparison_text(comparison: Comparison) -> str:
    """A comparison as aligned text for a terminal, with its title above."""
    listed = comparison.published.num_photos
    title = f"{comparison.benchmark}: {comparison.num_photos:,} of the {listed:,} photos of the papers were there"
    header = ["", *(f"{radius} km" for radius in RADII_KM), "photos"]
    rows = [header, *(_printed(line) for line in comparison.lines)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([title, *lines])


def _printed(line: Compared) -> list[str]:
    percents = (f"{line.percents[radius]:.1f}" if radius in line.percents else "-" for radius in RADII_KM)
    return [line.label, *percents, f"{line.num_photos:,}"]
