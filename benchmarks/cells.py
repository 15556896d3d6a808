"""What partitionings cost, against the bare numpy passes and against s2sphere photo by photo.

Photos are made by jittering real places. Floor: `np.sort` of the leaf ids and the four trigonometric passes (cosine and
sine of latitude and longitude, float64), one thread, into memory that is there already. Peer: s2sphere for each photo
and level, measured on a part and scaled. Claims, for two cores and 4,723,695 photos:

- three partitionings with the labels of all photos and means: at most 3.5 times the floor, at least 400 times the
  peer's speed; at most 60 bytes of memory a photo beyond the coordinates;
- classes of as many new photos in the three published partitionings: at most 2 s;
- 20 million photos: at most 5 times the time, under 2 GB;
- `geo-pipeline create-cells` from Parquet: at most 5 s and 900 MB; from CSV: at most 8 s;
- on the real places cells, counts and labels equal s2sphere's; the script fails where they do not.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from crawling.measuring import cost_of, kilobytes
from dividing.photo_by_photo import photos_of_cells, s2_leaves, seconds_per_photo
from dividing.synthetic import photos_beside, read_places, write_photos

from geo_pipeline.cells.assignment import assign_all_classes
from geo_pipeline.cells.cell_id import levels
from geo_pipeline.cells.leaf import Degrees, leaf_ids
from geo_pipeline.cells.partitioning import PartitionedPhotos, partition_photos
from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.cells.table import cell_ids_of

PROJECT = Path(__file__).resolve().parent.parent
DATA = PROJECT.parent / "shared" / "data"
PLACES = DATA / "mp16_coordinates_100K.csv"
BUNDLED_PLACES = PROJECT / "resources" / "world" / "places.csv"

MP16_PHOTOS = 4_723_695
MANY_PHOTOS = 20_000_000
SAMPLED_PHOTOS = 10_000
IMG_MIN, IMG_MAX = 50, (5000, 2000, 1000)
RULES = [PartitioningSettings(img_min=IMG_MIN, img_max=most) for most in IMG_MAX]
COMPARED = [(50, 5000), (50, 1000), (10, 106), (0, 106), (0, 1), (3, 20)]

Coordinates = tuple[Degrees, Degrees]


def main() -> None:
    """Measure and print."""
    options = _parser().parse_args()
    if options.child:
        print_scale(options.child, photos_beside(read_places(options.places), options.child))
        return
    places = read_places(options.places)
    print(
        f"{len(places[0])} places of {options.places.name}, {os.cpu_count()} cores, numpy {np.__version__}", flush=True
    )
    for name in options.sections:
        print(f"\n{name}", flush=True)
        SECTIONS[name](options, places)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Partitionings, against bare numpy and against s2sphere.")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="what to measure")
    parser.add_argument("--photos", type=int, default=MP16_PHOTOS, help=f"default: {MP16_PHOTOS}, as MP-16")
    parser.add_argument("--many", type=int, default=MANY_PHOTOS, help=f"for the large run (default: {MANY_PHOTOS})")
    parser.add_argument("--repeats", type=int, default=5, help="of what takes less than a minute (default: 5)")
    parser.add_argument("--places", type=Path, default=PLACES if PLACES.exists() else BUNDLED_PLACES, help="a CSV file")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    return parser


def measure_library(options: argparse.Namespace, places: Coordinates) -> None:
    """Partitionings, labels and means in memory, against the floor, pair by pair, and against the peer."""
    photos = photos_beside(places, options.photos)
    leaves, buffer = leaf_ids(*photos), np.empty(options.photos)
    radians = [np.radians(degrees) for degrees in photos]
    partition_photos(*photos, RULES)
    floors, ours = [], []
    for _ in range(options.repeats):
        floors.append(seconds(lambda: floor(leaves, radians, buffer)))
        ours.append(seconds(lambda: partition_photos(*photos, RULES)))
    print(f"floor: {in_seconds(floors)}\nthree partitionings, labels, means: {in_seconds(ours)}")
    _print_ratios("ours / floor", [mine / bare for mine, bare in zip(ours, floors, strict=True)], "at most 3.5")
    made = partition_photos(*photos, RULES)
    for name, claim in {"by photo and level": "at least 400", "with each leaf kept": "none"}.items():
        theirs = options.photos * s2sphere_seconds(photos, made, keeps_leaves=name == "with each leaf kept")
        print(f"s2sphere {name}, scaled from {SAMPLED_PHOTOS} photos: {theirs:.0f} s")
        _print_ratios(f"s2sphere {name} / ours", [theirs / mine for mine in ours], claim)


def floor(leaves: np.ndarray, radians: Sequence[Degrees], buffer: Degrees) -> None:
    """What no way through leaf ids in numpy can do without."""
    np.sort(leaves)
    for angles in radians:
        np.cos(angles, out=buffer)
        np.sin(angles, out=buffer)


def s2sphere_seconds(photos: Coordinates, made: PartitionedPhotos, *, keeps_leaves: bool) -> float:
    """Of the peer, for each photo; a photo without a class is taken to rest at the first level."""
    sample = np.random.default_rng(0).integers(0, len(photos[0]), SAMPLED_PHOTOS)
    places = list(zip(*(column[sample].tolist() for column in photos), strict=True))
    at_rest = []
    for cells, labels in zip(made.cells, made.class_labels, strict=True):
        chosen = labels[sample]
        at_rest.append(np.where(chosen < 0, RULES[0].lvl_min, levels(cell_ids_of(cells))[chosen]).tolist())
    return seconds_per_photo(places, at_rest, RULES[0].lvl_min, keeps_leaves=keeps_leaves)


def measure_assignment(options: argparse.Namespace, places: Coordinates) -> None:
    """Classes of new photos in the published partitionings; in ones made here where the published are absent."""
    paths = [DATA / f"cells_{IMG_MIN}_{most}.csv" for most in IMG_MAX]
    is_published = all(path.exists() for path in paths)
    if is_published:
        tables = [read_cells_csv(path) for path in paths]
    else:
        tables = list(partition_photos(*photos_beside(places, options.photos), RULES).cells)
    photos = photos_beside(places, options.photos, seed=1)
    taken = [seconds(lambda: assign_all_classes(*photos, tables)) for _ in range(options.repeats)]
    kind = "published" if is_published else "made"
    print(f"classes of {options.photos} new photos in {len(tables)} {kind} partitionings: {in_seconds(taken)}")
    print("claim: at most 2 s")


def measure_scale(options: argparse.Namespace, _: Coordinates) -> None:
    """Time and memory of some photos and of many, each in a process of its own."""
    for number in (options.photos, options.many):
        command = [sys.executable, __file__, "--child", str(number), "--places", str(options.places)]
        subprocess.run(command, check=True)
    print("claims: under 2 GB in all; at most 60 bytes a photo")


def print_scale(num_photos: int, photos: Coordinates) -> None:
    """Seconds, bytes a photo beyond the coordinates, and the peak of this process."""
    before = kilobytes(os.getpid(), "status", "VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (Linux)
    taken = seconds(lambda: partition_photos(*photos, RULES))
    peak = kilobytes(os.getpid(), "status", "VmHWM")
    beyond = 1024 * (peak - before) / num_photos
    print(
        f"{num_photos} photos: {taken:.2f} s, {beyond:.0f} bytes a photo, peak {peak / 1e6 * 1.024:.2f} GB", flush=True
    )


def measure_commands(options: argparse.Namespace, places: Coordinates) -> None:
    """The whole command: from a file to three files."""
    runs = {"photos.parquet": options.photos, "photos.csv": options.photos, "many.parquet": options.many}
    with tempfile.TemporaryDirectory(prefix="cells-") as folder:
        for name, number in runs.items():
            write_photos(Path(folder) / name, places, number)
            cost = cost_of(create_cells(Path(folder), name), _environment(), Path(folder) / "log")
            (Path(folder) / name).unlink()
            print(f"{name}, {number} photos: {cost.wall_seconds:.2f} s, {cost.peak_bytes / 1e6:.0f} MB", flush=True)
    print("claims: Parquet at most 5 s and 900 MB, CSV at most 8 s; many at most 5 times the seconds, under 2000 MB")


def create_cells(folder: Path, name: str) -> list[str]:
    """The command line."""
    command = [sys.executable, "-m", "geo_pipeline.cli", "create-cells", "--img-min", str(IMG_MIN)]
    command += [word for most in IMG_MAX for word in ("--img-max", str(most))]
    return [*command, "--dataset", str(folder / name), "--output", str(folder / "cells")]


def _environment() -> dict[str, str]:
    """Of a command: the package beside this script."""
    return os.environ | {"PYTHONPATH": str(PROJECT)}


def compare_with_s2sphere(_: argparse.Namespace, places: Coordinates) -> None:
    """Cells, counts and labels of the real places."""
    rules = [PartitioningSettings(img_min=low, img_max=high) for low, high in COMPARED]
    made = partition_photos(*places, rules)
    leaves = s2_leaves(list(zip(*(column.tolist() for column in places), strict=True)))
    for rule, cells, labels in zip(rules, made.cells, made.class_labels, strict=True):
        expected = photos_of_cells(leaves, rule)
        classes = np.full(len(leaves), -1)
        for label, cell in enumerate(sorted(expected)):
            classes[expected[cell]] = label
        assert cells["hex_id"].to_pylist() == [cell.to_token() for cell in sorted(expected)]
        assert cells["imgs_per_cell"].to_pylist() == [len(expected[cell]) for cell in sorted(expected)]
        assert np.array_equal(labels, classes)
        bounds = f"img_min {rule.img_min}, img_max {rule.img_max}"
        print(f"{bounds}: {cells.num_rows} cells, their counts and all labels equal s2sphere's", flush=True)


SECTIONS: Mapping[str, Callable[[argparse.Namespace, Coordinates], None]] = {
    "library": measure_library,
    "assignment": measure_assignment,
    "scale": measure_scale,
    "commands": measure_commands,
    "oracle": compare_with_s2sphere,
}


def seconds(work: Callable[[], object]) -> float:
    """On the clock."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def in_seconds(taken: Sequence[float]) -> str:
    """The median and the range."""
    return f"median {statistics.median(taken):.3f} s, from {min(taken):.3f} to {max(taken):.3f}"


def _print_ratios(name: str, ratios: Sequence[float], claim: str) -> None:
    median = statistics.median(ratios)
    print(f"{name}: median {median:.3g}, from {min(ratios):.3g} to {max(ratios):.3g}; claim: {claim}", flush=True)


if __name__ == "__main__":
    main()
