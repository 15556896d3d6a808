"""Checks of the cells: partitionings, their hierarchy and the labels of photos. All of them block.

Not here: the rules (cells.audit). The one idea: two steps for all checks, one for the partitionings and one for what is
made from them, because a step costs a second and a rule a fraction of it. A step reads what it checks by itself: as
inputs the tables of all its assets would have to be there, and a partitioning could not be made and checked alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
import numpy as np
import pyarrow as pa

from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.defs.assets.cells import training_places
from geo_pipeline.defs.checks import FIRST_PROBLEMS
from geo_pipeline.defs.failures import USER_ERROR, plain_failures
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.profile import Profile
from geo_pipeline.store import read_table

SAMPLE_PHOTOS, SAMPLE_SEED = 1000, 2018

OF_EVERY_PARTITIONING = {
    "cells_are_disjoint": "No cell lies in another one or stands twice, judged by s2sphere.",
    "labels_are_dense": "The class labels are 0, 1, … n - 1, each once.",
}
OF_MADE_PARTITIONINGS = {
    "labels_follow_cell_ids": "The class labels are in the order of the cells' ids.",
    "cells_are_in_bounds": "Each cell holds more than `img_min` and at most `img_max` photos and is of a level from "
    "`lvl_min` to `lvl_max`; at `lvl_max` it may hold more.",
    "counts_are_those_of_the_photos": "Assigning the listed training photos to the cells gives each cell's count, so "
    "that the counts add up to the labelled training photos.",
}
HIERARCHY = {
    "hierarchy_is_total": "Each fine cell stands once, and its middle and coarse cells exist and contain it, judged by "
    "s2sphere.",
}
CLASSES = {
    "labels_agree_with_s2sphere": f"The labels of {SAMPLE_PHOTOS:,} photos, drawn at random, are those of the cells in "
    "which s2sphere finds them.",
}


def build_cell_checks(profile: Profile) -> list[dg.AssetChecksDefinition]:
    """The checks of all assets of the group, in two steps."""
    return [_partitionings_are_sound(profile), labels_are_sound]


def _specs(asset: str, rules: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    return [dg.AssetCheckSpec(name, asset=asset, description=text, blocking=True) for name, text in rules.items()]


def _partitionings_are_sound(profile: Profile) -> dg.AssetChecksDefinition:
    """The checks of the partitionings; a published one keeps its own labels, counts and bounds."""
    rules = {
        f"cells_{name}": OF_EVERY_PARTITIONING
        | (OF_MADE_PARTITIONINGS if isinstance(source, PartitioningSettings) else {})
        for name, source in profile.partitionings.items()
    }
    specs = [spec for asset, checks in rules.items() for spec in _specs(asset, checks)]

    @dg.multi_asset_check(name="partitionings_are_sound", specs=specs, can_subset=True)
    @plain_failures
    def partitionings_are_sound(
        context: dg.AssetCheckExecutionContext, experiment: dg.ResourceParam[Experiment]
    ) -> Iterator[dg.AssetCheckResult]:
        places = training_places(experiment.profile, _table(experiment, "photo_metadata"))
        for asset in rules:
            wanted = _wanted(context, asset)
            if wanted:
                source = experiment.profile.partitionings[asset.removeprefix("cells_")]
                made_with = source if isinstance(source, PartitioningSettings) else None
                problems = partitioning_problems(_table(experiment, asset), made_with, places)
                yield from (check_result(asset, name, problems[name]) for name in wanted)

    return partitionings_are_sound


def partitioning_problems(
    cells: pa.Table, made_with: PartitioningSettings | None, places: tuple[np.ndarray, np.ndarray]
) -> dict[str, list[str]]:
    """What breaks each rule, by check; `made_with` is None for a published partitioning.

    places: latitudes and longitudes (float64[n], degrees) of the listed training photos.
    """
    from geo_pipeline.cells import audit

    problems = {"cells_are_disjoint": audit.overlapping_cells(cells), "labels_are_dense": audit.gaps_in_labels(cells)}
    if made_with is None:
        return problems
    return {
        **problems,
        "labels_follow_cell_ids": audit.labels_out_of_order(cells),
        "cells_are_in_bounds": audit.cells_out_of_bounds(cells, made_with),
        "counts_are_those_of_the_photos": audit.counts_that_differ(cells, *places),
    }


@dg.multi_asset_check(
    name="labels_are_sound",
    specs=[*_specs("cell_hierarchy", HIERARCHY), *_specs("photo_classes", CLASSES)],
    can_subset=True,
)
@plain_failures
def labels_are_sound(
    context: dg.AssetCheckExecutionContext, experiment: dg.ResourceParam[Experiment]
) -> Iterator[dg.AssetCheckResult]:
    """Look up the ancestors of all fine cells, and the cells of some photos."""
    from geo_pipeline.cells.audit import gaps_in_hierarchy, random_rows, wrong_labels

    cells = {name: _table(experiment, f"cells_{name}") for name in experiment.profile.partitionings}
    for name in _wanted(context, "cell_hierarchy"):
        yield check_result("cell_hierarchy", name, gaps_in_hierarchy(_table(experiment, "cell_hierarchy"), cells))
    for name in _wanted(context, "photo_classes"):
        classes, photos = _table(experiment, "photo_classes"), _table(experiment, "photo_metadata")
        rows = random_rows(classes.num_rows, SAMPLE_PHOTOS, SAMPLE_SEED)
        problems = wrong_labels(classes, photos, cells, rows)
        yield check_result("photo_classes", name, problems, photos_labelled_again=len(rows))


def _wanted(context: dg.AssetCheckExecutionContext, asset: str) -> list[str]:
    """The checks of an asset that this run is to make."""
    return sorted(key.name for key in context.selected_asset_check_keys if key.asset_key == dg.AssetKey(asset))


def _table(experiment: Experiment, asset: str) -> pa.Table:
    return read_table(experiment.layout.table(asset))


def check_result(asset: str, check: str, problems: Sequence[str], **metadata: object) -> dg.AssetCheckResult:
    """What became of a check: it passes if there is no problem, and names the first ones if there are."""
    numbers: dict[str, object] = {**metadata, "problems": len(problems)}
    if not problems:
        return dg.AssetCheckResult(passed=True, asset_key=asset, check_name=check, metadata=numbers)  # type: ignore[arg-type]
    message = (
        f"problems in the table of {asset}: {len(problems)}; make it again from what is upstream now (`geo-pipeline "
        f"materialize 'key:{asset}'`); if that does not help, it is a bug of geo_pipeline: report it. The first ones:"
    )
    return dg.AssetCheckResult(
        passed=False,
        asset_key=asset,
        check_name=check,
        description="\n".join([message, *(f"  - {problem}" for problem in problems[:FIRST_PROBLEMS])]),
        metadata={**numbers, USER_ERROR: True},  # type: ignore[dict-item]
    )
