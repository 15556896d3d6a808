"""What must hold of a partitioning, of the hierarchy and of photos' labels: each rule finds what breaks it.

Here live the rules, as functions from tables to sentences, none if all is well. Not here: when they are applied and
what is to be done (the checks of `defs`). The one idea: a second opinion. What can be asked of s2sphere is asked of
it, token by token, and not of the vectorised code that made the tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from s2sphere import CellId, LatLng

from geo_pipeline.cells.assignment import CellIndex
from geo_pipeline.cells.leaf import Degrees, leaf_ids
from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.errors import InputError

PHOTO = ["photo_set", "photo_id"]


def overlapping_cells(cells: pa.Table) -> list[str]:
    """The cells that lie in another one of their partitioning, or stand twice."""
    spans = sorted(((*_leaves(token), token) for token in cells["hex_id"].to_pylist()), key=lambda s: (s[0], -s[1]))
    problems, holder, reach = [], "", -1
    for first, last, token in spans:  # a cell comes before those inside it
        if first > reach:
            holder, reach = token, last
        else:
            problems.append(f"cell {token} " + ("stands twice" if token == holder else f"lies in cell {holder}"))
    return problems


def gaps_in_labels(cells: pa.Table) -> list[str]:
    """The class labels that stand twice, are missing, or are not among 0, 1, … n - 1."""
    rows = list(zip(cells["class_label"].to_pylist(), cells["hex_id"].to_pylist(), strict=True))
    counts = Counter(label for label, _ in rows)
    expected = range(len(rows))
    wrong = [(label, token) for label, token in rows if label not in expected]
    problems = [f"class label {label} of cell {token} is not among 0 to {len(rows) - 1}" for label, token in wrong]
    for label, count in sorted((label, count) for label, count in counts.items() if count > 1):
        tokens = ", ".join(token for other, token in rows if other == label)
        problems.append(f"class label {label} stands {count} times: at cells {tokens}")
    return problems + [f"no cell has the class label {label}" for label in expected if label not in counts]


def labels_out_of_order(cells: pa.Table) -> list[str]:
    """The cells whose class label is above that of a cell with a greater id: we label in the order of ids."""
    rows = cells.select(["class_label", "hex_id"]).sort_by("class_label").to_pylist()
    ids = [CellId.from_token(row["hex_id"]).id() for row in rows]
    return [
        f"cell {row['hex_id']} has the class label {row['class_label']}, above the {before['class_label']} of cell "
        f"{before['hex_id']}, whose id is greater"
        for before, row, id_before, id_ in zip(rows, rows[1:], ids, ids[1:], strict=False)
        if id_ < id_before
    ]


def cells_out_of_bounds(cells: pa.Table, settings: PartitioningSettings) -> list[str]:
    """The cells that the rule of the partitioning would not have kept, or would have split (paper, section 3.1)."""
    problems = []
    for token, photos in zip(cells["hex_id"].to_pylist(), cells["imgs_per_cell"].to_pylist(), strict=True):
        level = CellId.from_token(token).level()
        if photos <= settings.img_min:
            problems.append(f"cell {token} holds {photos} photos, not more than img_min {settings.img_min}")
        if photos > settings.img_max and level < settings.lvl_max:
            problems.append(
                f"cell {token} of level {level} holds {photos} photos, more than img_max {settings.img_max}"
            )
        if not settings.lvl_min <= level <= settings.lvl_max:
            problems.append(f"cell {token} is of level {level}, not {settings.lvl_min} to {settings.lvl_max}")
    return problems


def counts_that_differ(cells: pa.Table, latitudes: Degrees, longitudes: Degrees) -> list[str]:
    """The cells whose `imgs_per_cell` is not the number of photos that are assigned to them.

    latitudes, longitudes: float64[n], degrees, of the photos that the partitioning was made from.
    """
    try:
        index = CellIndex.from_table(cells)
    except InputError as error:
        return [f"the photos cannot be counted: {error}"]
    labels, counts = np.unique(index.find(leaf_ids(latitudes, longitudes)), return_counts=True)
    found = dict(zip(labels.tolist(), counts.tolist(), strict=True))
    columns = (cells[name].to_pylist() for name in ("hex_id", "class_label", "imgs_per_cell"))
    return [
        f"cell {token} (class label {label}) holds {photos} photos by the table, {found.get(label, 0)} by assigning "
        f"the {len(latitudes)} listed training photos"
        for token, label, photos in zip(*columns, strict=True)
        if photos != found.get(label, 0)
    ]


def gaps_in_hierarchy(hierarchy: pa.Table, cells: Mapping[str, pa.Table]) -> list[str]:
    """The fine class labels that do not stand once, and the ancestors that do not exist or do not contain their cell.

    hierarchy: a column of class labels for each partitioning; cells: the tables of the partitionings, finest last.
    """
    *coarser, finest = cells
    tokens = {name: _tokens_by_label(table) for name, table in cells.items()}
    counts = Counter(hierarchy[finest].to_pylist())
    problems = [
        f"class label {label} of {finest} stands {counts[label]} times, expected {expected}"
        for label in sorted({*counts, *tokens[finest]})
        if counts[label] != (expected := int(label in tokens[finest]))
    ]
    for name in coarser:
        pairs = zip(hierarchy[name].to_pylist(), hierarchy[finest].to_pylist(), strict=True)
        for ancestor, label in pairs:
            cell = f"{finest} cell {tokens[finest].get(label)} (class label {label})"
            if ancestor not in tokens[name]:
                problems.append(f"{cell} has the {name} class label {ancestor}, which no cell has")
            elif label in tokens[finest] and not _contains(tokens[name][ancestor], tokens[finest][label]):
                holder = tokens[name][ancestor]
                problems.append(f"{cell} does not lie in {holder}, the {name} cell of class label {ancestor}")
    return problems


def random_rows(num_rows: int, size: int, seed: int) -> npt.NDArray[np.int64]:
    """At most `size` different row numbers in ascending order, always the same ones for a seed."""
    return np.sort(np.random.default_rng(seed).choice(num_rows, min(size, num_rows), replace=False))


def wrong_labels(
    classes: pa.Table, photos: pa.Table, cells: Mapping[str, pa.Table], rows: npt.NDArray[np.int64]
) -> list[str]:
    """The photos, among some rows, whose class label is not that of the cell in which s2sphere finds them.

    classes: `photo_set, photo_id` and a column of class labels for each partitioning, null for none; photos:
    `photo_set, photo_id, latitude, longitude` in degrees, row by row the same photos.
    """
    if not classes.select(PHOTO).equals(photos.select(PHOTO)):
        return [f"the {classes.num_rows} photos are not the {photos.num_rows} of the metadata, row by row"]
    labels_of = {
        name: dict(zip(*_columns(table, "hex_id", "class_label"), strict=True)) for name, table in cells.items()
    }
    problems = []
    for given, photo in zip(classes.take(rows).to_pylist(), photos.take(rows).to_pylist(), strict=True):
        tokens = _ancestors(photo["latitude"], photo["longitude"])
        for name, labels in labels_of.items():
            expected = next((labels[token] for token in tokens if token in labels), None)
            if given[name] != expected:
                problems.append(
                    f"photo {photo['photo_id']} of {photo['photo_set']} at {photo['latitude']}, {photo['longitude']} "
                    f"has the {name} class label {given[name]}, s2sphere finds {expected}"
                )
    return problems


def _ancestors(latitude: float, longitude: float) -> list[str]:
    """The tokens of the cells of all levels that contain a coordinate in degrees, as s2sphere has them."""
    leaf = CellId.from_lat_lng(LatLng.from_degrees(latitude, longitude))
    return [leaf.parent(level).to_token() for level in range(leaf.level(), -1, -1)]


def _contains(token: str, other: str) -> bool:
    return bool(CellId.from_token(token).contains(CellId.from_token(other)))


def _leaves(token: str) -> tuple[int, int]:
    """The ids of the first and the last leaf in a cell."""
    cell = CellId.from_token(token)
    return cell.range_min().id(), cell.range_max().id()


def _tokens_by_label(cells: pa.Table) -> dict[int, str]:
    return dict(zip(*_columns(cells, "class_label", "hex_id"), strict=True))


def _columns(table: pa.Table, *names: str) -> Iterator[list[object]]:
    return (table[name].to_pylist() for name in names)
