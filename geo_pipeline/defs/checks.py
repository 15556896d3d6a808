"""Asset checks: what must hold before anything downstream is worth making. All of them block.

Not here: the thresholds (a profile's `checks` section).
"""

from __future__ import annotations

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.defs.failures import USER_ERROR, plain_failures
from geo_pipeline.defs.pictures import markdown_table
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.photos.joins import query_tables
from geo_pipeline.store import read_table

FIRST_REJECTS = 10


@dg.asset_check(asset="photo_manifest", blocking=True)
@plain_failures
def enough_photos_downloaded(experiment: dg.ResourceParam[Experiment], photo_manifest: pa.Table) -> dg.AssetCheckResult:
    """Each photo set has at least `checks.min_ok_percent` of its listed photos."""
    least = experiment.profile.checks.min_ok_percent
    shares = query_tables(
        """select photo_set, count(*) as listed, count(*) filter (status = 'ok') as downloaded,
        100.0 * downloaded / listed as percent from manifest group by photo_set order by photo_set""",
        manifest=photo_manifest,
    )
    complete = shares.num_rows == len(experiment.profile.photo_sets)
    passed = complete and pc.min(shares["percent"]).as_py() >= least
    return dg.AssetCheckResult(passed=passed, metadata={"shares": markdown_table(shares), "at_least_percent": least})


@dg.asset_check(asset="photo_manifest", blocking=True)
@plain_failures
def url_lists_are_clean(experiment: dg.ResourceParam[Experiment], photo_manifest: pa.Table) -> dg.AssetCheckResult:
    """At most `checks.max_rejected_percent` of the URL lists' rows are unusable."""
    tables = [read_table(experiment.layout.table("url_list_rejects", name)) for name in experiment.profile.photo_sets]
    return _rejects_result(pa.concat_tables(tables), photo_manifest.num_rows, experiment)


@dg.asset_check(asset="photo_metadata", blocking=True)
@plain_failures
def metadata_is_clean(experiment: dg.ResourceParam[Experiment], photo_metadata: pa.Table) -> dg.AssetCheckResult:
    """At most `checks.max_rejected_percent` of the metadata's rows are unusable."""
    rejects = read_table(experiment.layout.table("photo_metadata_rejects"))
    return _rejects_result(rejects, photo_metadata.num_rows, experiment)


def _rejects_result(rejects: pa.Table, num_good: int, experiment: Experiment) -> dg.AssetCheckResult:
    """Whether few enough rows were rejected; names the first of them."""
    percent = 100.0 * rejects.num_rows / max(rejects.num_rows + num_good, 1)
    most = experiment.profile.checks.max_rejected_percent
    metadata: dict[str, object] = {"rejected_rows": rejects.num_rows, "percent": percent, "at_most_percent": most}
    first = rejects.slice(0, FIRST_REJECTS)
    if rejects.num_rows:
        metadata["first_rejects"] = markdown_table(first)
    if percent <= most:
        return dg.AssetCheckResult(passed=True, metadata=metadata)  # type: ignore[arg-type]
    lines = [f"  - {row['file']}, row {row['row']}: {row['reason']}" for row in first.to_pylist()]
    message = (
        f"{rejects.num_rows} rows cannot be used ({percent:.2g} %, at most {most:g} % are allowed); correct them "
        "or raise checks.max_rejected_percent in the profile; the first ones:"
    )
    return dg.AssetCheckResult(
        passed=False,
        description="\n".join([message, *lines]),
        metadata={**metadata, USER_ERROR: True},  # type: ignore[dict-item]
    )


@dg.asset_check(asset="benchmark_accuracy", blocking=True)
@plain_failures
def accuracy_reaches_its_floor(
    experiment: dg.ResourceParam[Experiment], benchmark_accuracy: pa.Table
) -> dg.AssetCheckResult:
    """On every benchmark f* reaches `checks.accuracy_floors` (radius in km -> percent)."""
    floors = experiment.profile.checks.accuracy_floors
    hierarchy = benchmark_accuracy.filter(pc.equal(benchmark_accuracy["p_key"], "hierarchy")).to_pylist()
    below = [row for row in hierarchy if row["accuracy_percent"] < floors.get(int(row["radius_km"]), 0.0)]
    metadata: dict[str, object] = {"floors": {str(radius): floor for radius, floor in floors.items()}}
    if below:
        metadata["below"] = markdown_table(pa.Table.from_pylist(below))
    return dg.AssetCheckResult(passed=not below, metadata=metadata)  # type: ignore[arg-type]


all_checks = [enough_photos_downloaded, url_lists_are_clean, metadata_is_clean, accuracy_reaches_its_floor]
