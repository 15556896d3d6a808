"""Checks that no validation or benchmark photo stands among the training photos. Equal ids block, the rest warns.

Not here: the rules (evaluation.leakage) and the hashes of pictures (evaluation.picture_hashes). The one idea: one step
for all three checks, and one list of what they found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.defs.checks import FIRST_PROBLEMS
from geo_pipeline.defs.failures import USER_ERROR, plain_failures
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.photos.joins import downloaded_pictures
from geo_pipeline.photos.settings import Role
from geo_pipeline.store import read_table, write_csv

if TYPE_CHECKING:
    from geo_pipeline.evaluation.leakage import PictureHashes

ASSET = "training_photos"
MEMORY = "picture_hashes.parquet"
"""Hashes of pictures by the first 64 bits of their sha256, in the profile's folder."""

IDS, AUTHORS, PICTURES = "no_photo_is_judged_by", "no_author_is_judged_by", "no_picture_is_judged_by"
_CHECKS = {
    IDS: "No training photo stands in a validation or benchmark set by its id: the name without folders and ending, of "
    "Flickr's names the number of the photo.",
    AUTHORS: "No author of training photos has a photo in a validation or benchmark set.",
    PICTURES: "No stored picture of a validation or benchmark set is nearly one of training: of 64 comparisons of "
    "brightness along the rows of a tiny gray copy and 64 along its columns at most four of each differ. Pictures "
    "without contrast are left out.",
}
_FOUND = {
    IDS: "are training photos: take them out of the training list, or put them into the removal list",
    AUTHORS: "are by authors of training photos",
    PICTURES: "look like training photos: put real copies into the removal list",
}
LIST = "leakage.csv"
"""All findings, in the folder of reports."""


@dg.multi_asset_check(
    name="training_photos_are_unseen",
    specs=[
        dg.AssetCheckSpec(name, asset=ASSET, blocking=name == IDS, description=text) for name, text in _CHECKS.items()
    ],
)
@plain_failures
def training_photos_are_unseen(
    experiment: dg.ResourceParam[Experiment], training_photos: pa.Table
) -> Iterator[dg.AssetCheckResult]:
    """Look for photos that a model must not be judged by, in three ways."""
    layout, profile = experiment.layout, experiment.profile
    judged = [*profile.sets_of(Role.VALIDATION), *profile.sets_of(Role.BENCHMARK)]
    metadata, manifest = (read_table(layout.table(name)) for name in ("photo_metadata", "photo_manifest"))
    from geo_pipeline.evaluation.picture_hashes import hash_pictures

    found = {
        IDS: _same_ids(training_photos, _of_sets(manifest, judged)),
        AUTHORS: _same_authors(training_photos, metadata, _of_sets(metadata, judged)),
    }
    pictures = downloaded_pictures(manifest, judged)
    hashes = hash_pictures([training_photos, pictures], layout.shards, layout.folder / MEMORY)
    found[PICTURES] = _near_pictures(training_photos, pictures, *hashes)
    flat = int(sum(each.flat.sum() for each in hashes))
    numbers = {"judged_photos": _of_sets(metadata, judged).num_rows, "pictures_without_contrast": flat}
    path = layout.reports / LIST
    write_csv(path, pa.concat_tables([_with_check(name, table) for name, table in found.items()]))
    for name, table in found.items():
        yield _result(name, table, {**numbers, "list": dg.MetadataValue.path(path)})


def _same_ids(training: pa.Table, judged: pa.Table) -> pa.Table:
    from geo_pipeline.evaluation.leakage import shared_photos

    pairs = shared_photos(training["photo_id"].to_pylist(), judged["photo_id"].to_pylist())
    return _findings(judged, pairs)


def _same_authors(training: pa.Table, metadata: pa.Table, judged: pa.Table) -> pa.Table:
    from geo_pipeline.evaluation.leakage import shared_authors

    learnt = metadata.filter(pc.is_in(metadata["photo_id"], training["photo_id"].combine_chunks()))
    by_photo = dict(zip(judged["photo_id"].to_pylist(), judged["author"].to_pylist(), strict=True))
    return _findings(judged, list(shared_authors(learnt["author"].to_pylist(), by_photo).items()))


def _near_pictures(
    training: pa.Table, judged: pa.Table, training_hashes: PictureHashes, judged_hashes: PictureHashes
) -> pa.Table:
    from geo_pipeline.evaluation.leakage import near_duplicates

    pairs = near_duplicates(training_hashes, judged_hashes)
    columns = judged["photo_id"].take(pairs[:, 0]), training["photo_id"].take(pairs[:, 1])
    return _findings(judged, list(zip(*(column.to_pylist() for column in columns), strict=True)))


def _findings(judged: pa.Table, pairs: Sequence[tuple[str, str]]) -> pa.Table:
    """`photo_set, photo_id, training`: the judged photos that were found, and with what of training."""
    sets = dict(zip(judged["photo_id"].to_pylist(), judged["photo_set"].to_pylist(), strict=True))
    ids, training = ([pair[k] for pair in pairs] for k in (0, 1))
    columns = {"photo_set": [sets[photo_id] for photo_id in ids], "photo_id": ids, "training": training}
    return pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))


def _with_check(name: str, findings: pa.Table) -> pa.Table:
    return findings.add_column(0, pa.field("check", pa.string()), pa.repeat(name, findings.num_rows))


def _result(check: str, findings: pa.Table, metadata: Mapping[str, object]) -> dg.AssetCheckResult:
    """What became of a check: it passes where nothing was found, and names the first findings where something was."""
    count = pc.count_distinct(findings["photo_id"]).as_py()
    numbers: dict[str, Any] = {**metadata, "found": count}
    if not count:
        return dg.AssetCheckResult(passed=True, check_name=check, metadata=numbers)
    lines = [f"  - {row['photo_id']} of {row['photo_set']}: {row['training']}" for row in _first(findings)]
    head = f"{count} validation and benchmark photos {_FOUND[check]} (all in {LIST}); the first ones:"
    blocking = check == IDS
    return dg.AssetCheckResult(
        passed=False,
        check_name=check,
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        description="\n".join([head, *lines]),
        metadata=numbers | ({USER_ERROR: True} if blocking else {}),
    )


def _first(findings: pa.Table) -> list[dict[str, str]]:
    return list(findings.slice(0, FIRST_PROBLEMS).to_pylist())


def _of_sets(table: pa.Table, names: Sequence[str]) -> pa.Table:
    return table.filter(pc.is_in(table["photo_set"], pa.array(names, pa.string())))
