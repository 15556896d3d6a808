"""Lists of made-up photos for the tests of this folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HEADER = ["IMG_ID", "AUTHOR", "LAT", "LON", "S3_Label", "Prob_indoor", "Prob_urban"]


@dataclass(frozen=True)
class Lists:
    """A URL list and its metadata."""

    urls: Path
    metadata: Path


def places(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in a few hundred clusters and between them, as photos are."""
    random = np.random.default_rng(seed)
    centres = np.stack([random.uniform(-60, 70, 300), random.uniform(-180, 180, 300)])
    middle = centres[:, random.integers(0, 300, number)]
    scattered = middle + random.normal(0, 0.4, (2, number))
    return np.clip(scattered[0], -90, 90), (scattered[1] + 180) % 360 - 180


def write_lists(
    folder: Path,
    number: int,
    *,
    seed: int = 0,
    hosts: Sequence[str] = ("http://one.example.org", "https://two.example.org"),
    more_urls: Sequence[str] = (),
    more_metadata: Sequence[str] = (),
) -> Lists:
    """Write lists of `number` photos, and further rows as they stand."""
    folder.mkdir(parents=True, exist_ok=True)
    lists = Lists(folder / "urls.csv", folder / "metadata.csv")
    latitudes, longitudes = places(number, seed)
    with lists.urls.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerows((f"p{k:06d}.jpg", f"{hosts[k % len(hosts)]}/p{k:06d}.jpg") for k in range(number))
        stream.writelines(f"{row}\n" for row in more_urls)
    with lists.metadata.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(HEADER)
        where = np.round([latitudes, longitudes], 5).T.tolist()
        rows.writerows((f"p{k:06d}.jpg", f"author, {k % 50}", *place, 1, 0.25, 0.75) for k, place in enumerate(where))
        stream.writelines(f"{row}\n" for row in more_metadata)
    return lists
