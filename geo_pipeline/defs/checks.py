"""Asset checks: what must hold before anything downstream is worth making. All of them block.

Not here: the thresholds (a profile's `checks` section).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.defs.failures import USER_ERROR, plain_failures
from geo_pipeline.defs.lineage import code_parts
from geo_pipeline.defs.pictures import markdown_table
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.photos.joins import query_tables
from geo_pipeline.photos.rejects import FIRST_REJECTS
from geo_pipeline.shards.verified import Verification, verify_changed
from geo_pipeline.shards.verify import Fault
from geo_pipeline.store import read_table

FIRST_PROBLEMS = 10
VERIFIED = "verified.json"
"""The memory of shards that were found sound, in the profile's folder."""

VERIFICATION = "shards.verify:verify_photos"
STORED_PHOTOS = {
    "shards_agree_with_manifest": (
        Fault.DISAGREES,
        "Every photo that the manifest calls stored can be read at its place and has its sha256.",
        "are not what the manifest says",
    ),
    "stored_photos_have_no_metadata": (
        Fault.FOREIGN_CONTENT,
        "No stored photo holds anything but its picture: no EXIF, GPS, XMP, ICC, comment, nothing behind its end.",
        "hold more than their picture",
    ),
}
"""Checks of stored photos by name: the fault, what must hold, and what those with the fault do."""


@dg.asset_check(asset="photo_manifest", blocking=True)
@plain_failures
def enough_photos_downloaded(experiment: dg.ResourceParam[Experiment], photo_manifest: pa.Table) -> dg.AssetCheckResult:
    """Each photo set has at least `checks.min_ok_percent` of its photos; those of the removal list do not count."""
    least = experiment.profile.checks.min_ok_percent
    shares = query_tables(
        """select photo_set, count(*) filter (status <> 'removed') as listed,
        count(*) filter (status = 'ok') as downloaded, coalesce(100.0 * downloaded / nullif(listed, 0), 100) as percent
        from manifest group by photo_set order by photo_set""",
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


@dg.multi_asset_check(
    name="photo_manifest_stored_photos_are_sound",  # `<asset>_<check>`, as Dagster calls the step of a single check
    specs=[
        dg.AssetCheckSpec(
            name,
            asset="photo_manifest",
            blocking=True,
            description=f"{text} Shards that were found sound are not read again for `checks.verify_again_days`.",
        )
        for name, (_, text, _) in STORED_PHOTOS.items()
    ],
)
@plain_failures
def stored_photos_are_sound(
    experiment: dg.ResourceParam[Experiment], photo_manifest: pa.Table
) -> Iterator[dg.AssetCheckResult]:
    """Read the stored photos that have changed, once for both checks."""
    layout, settings = experiment.layout, experiment.profile.checks
    folder = pc.binary_join_element_wise(photo_manifest["photo_set"], photo_manifest["bucket"], "/")
    shard = pc.binary_join_element_wise(folder, photo_manifest["shard"], "/")
    found = verify_changed(
        photo_manifest.set_column(photo_manifest.column_names.index("shard"), "shard", shard),
        layout.shards,
        layout.folder / VERIFIED,
        rules=json.dumps(dict(code_parts((VERIFICATION,))), sort_keys=True),
        now=datetime.now(UTC),
        again_after=timedelta(days=settings.verify_again_days),
    )
    for name, (fault, _, what) in STORED_PHOTOS.items():
        yield _stored_photos_result(name, found, fault, what)


def _stored_photos_result(name: str, found: Verification, fault: Fault, what: str) -> dg.AssetCheckResult:
    """Whether no stored photo has a fault; names the first that have."""
    count = found.counts.get(fault, 0)
    metadata: dict[str, object] = {
        "stored_photos": found.num_photos,
        "read_now": found.num_read,
        "found_sound_before": found.num_photos - found.num_read,
        "problems": count,
    }
    if not count:
        return dg.AssetCheckResult(passed=True, check_name=name, metadata=metadata)  # type: ignore[arg-type]
    first = [f"  - {problem}" for problem in found.problems if problem.fault is fault][:FIRST_PROBLEMS]
    message = (
        f"{count} stored photos {what}; remove the shards that are named here and materialize photo_shards for their "
        "buckets again (`geo-pipeline materialize --stale`): only their photos are fetched anew; the first ones:"
    )
    return dg.AssetCheckResult(
        passed=False,
        check_name=name,
        description="\n".join([message, *first]),
        metadata={**metadata, USER_ERROR: True},  # type: ignore[dict-item]
    )


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


all_checks = [
    enough_photos_downloaded,
    url_lists_are_clean,
    stored_photos_are_sound,
    metadata_is_clean,
    accuracy_reaches_its_floor,
]
