"""`geo-pipeline game`: the benchmark photos of a profile as a game against its model.

Here live its options, the reading of the profile's tables and what it prints. Not here: the choice of photos, the page
and its folder (evaluation.game*).
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geo_pipeline.errors import InputError
from geo_pipeline.photos.settings import Role
from geo_pipeline.profile import Layout, Profile
from geo_pipeline.store import read_table

if TYPE_CHECKING:
    import pyarrow as pa

    from geo_pipeline.evaluation.game import Benchmark, Choice

NUM_PHOTOS = 200
_MOST_NAMED = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="the game's folder (default: reports/game/ of the profile)"
    )
    parser.add_argument(
        "--benchmarks", nargs="+", action="extend", metavar="NAME", help="only photos of these (default: all)"
    )
    parser.add_argument(
        "--photos",
        type=_number_of_photos,
        default=NUM_PHOTOS,
        metavar="N",
        help="at most so many photos, drawn with the seed, so that the folder stays small (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed, other photos (default: %(default)s)")


def run(options: argparse.Namespace, profile: Profile, layout: Layout) -> int:
    """Build the game; the exit code."""
    from geo_pipeline.evaluation.game import choose_photos
    from geo_pipeline.evaluation.game_folder import require_replaceable, write_game
    from geo_pipeline.evaluation.game_page import GameTexts

    folder = (options.output or layout.game).resolve()
    names = _benchmark_names(options.benchmarks, profile)
    require_replaceable(folder)
    predictions = _predictions(layout)
    manifest, metadata = (read_table(layout.table(name)) for name in ("photo_manifest", "photo_metadata"))
    benchmarks = [_benchmark(name, profile, layout, manifest, metadata) for name in names]
    choice = choose_photos(benchmarks, predictions, options.photos, options.seed)
    texts = GameTexts(profile.name, profile.description, [each.title for each in benchmarks])
    page = write_game(folder, choice, texts)
    _tell(choice, names)
    print(f"open {page.as_uri()}")
    return 0


def _number_of_photos(text: str) -> int:
    from geo_pipeline.evaluation.game import ROUNDS

    number = int(text)
    if number < ROUNDS:
        raise argparse.ArgumentTypeError(f"found {number}; a game has {ROUNDS} rounds and needs as many photos")
    return number


def _benchmark_names(asked: Sequence[str] | None, profile: Profile) -> list[str]:
    """The benchmarks to play, each once. Raises InputError for a name that is none: nothing else is ever shown."""
    known = profile.sets_of(Role.BENCHMARK)
    names = list(dict.fromkeys(asked or known))
    for name in names:
        if name in known:
            continue
        if name in profile.photo_sets:
            found = f"a photo set with the role {profile.photo_sets[name].role}; the game shows benchmark photos only"
        else:
            near = difflib.get_close_matches(name, known, n=1)
            found = "no photo set of the profile" + (f"; did you mean {near[0]}?" if near else "")
        raise InputError(f"--benchmarks {name}: {found} (benchmarks of {profile.name}: {', '.join(known)})")
    return names


def _predictions(layout: Layout) -> pa.Table:
    path = layout.table("benchmark_predictions")
    if not path.exists():
        raise InputError(f"{path}: there are no answers of the model yet; materialize benchmark_predictions first")
    return read_table(path)


def _benchmark(name: str, profile: Profile, layout: Layout, manifest: pa.Table, metadata: pa.Table) -> Benchmark:
    """A benchmark, without photos whose removal somebody has asked for, even since the tables were made."""
    import pyarrow.compute as pc

    from geo_pipeline.evaluation.game import Benchmark
    from geo_pipeline.photos.joins import downloaded_with_coordinates
    from geo_pipeline.photos.removals import read_removals, removed_ids, without_removed
    from geo_pipeline.shards.photo_reader import PhotoReader

    listed, described = (table.filter(pc.equal(table["photo_set"], name)) for table in (manifest, metadata))
    photos = downloaded_with_coordinates(listed, described, name)
    if profile.removal_list:
        ids = removed_ids(read_removals(profile.removal_list), photos=listed, metadata=described)
        photos = without_removed(photos, ids)
    authors = dict(zip(described["photo_id"].to_pylist(), described["author"].to_pylist(), strict=True))
    title = profile.photo_sets[name].title or name
    return Benchmark(name, title, photos, authors, PhotoReader(photos, layout.shards))


def _tell(choice: Choice, names: Sequence[str]) -> None:
    """Print what the game holds, and to standard error what it lacks."""
    import numpy as np

    from geo_pipeline.cells.distance import great_circle_km
    from geo_pipeline.evaluation.game import points

    places = np.array([(p.latitude, p.longitude, p.true_latitude, p.true_longitude) for p in choice.photos])
    mean = points(great_circle_km(*places.T)).mean()
    print(
        f"{len(choice.photos):,} photos of {', '.join(names)}; the model ({choice.model}, f*) makes {mean:,.0f} points "
        "a round"
    )
    if choice.left_out:
        print(f"photos left out: {len(choice.left_out):,}", file=sys.stderr)
        for each in choice.left_out[:_MOST_NAMED]:
            print(f"  - {each}", file=sys.stderr)
        if len(choice.left_out) > _MOST_NAMED:
            print(f"  and {len(choice.left_out) - _MOST_NAMED:,} more", file=sys.stderr)
