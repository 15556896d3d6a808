"""The checks of stored photos on a real instance: what they find, what they say, and how it is mended."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from PIL import Image

from geo_pipeline.defs.checks import VERIFIED, all_checks, enough_photos_downloaded
from geo_pipeline.defs.outcome import raise_if_user_can_mend
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.errors import InputError
from geo_pipeline.photos.joins import query_tables
from geo_pipeline.profile import MANIFEST_FILE
from geo_pipeline.shards.format import ShardWriter
from geo_pipeline.store import read_table, write_table
from geo_pipeline_tests.defs.project import Project

AGREE, BARE = "shards_agree_with_manifest", "stored_photos_have_no_metadata"


def checked(project: Project) -> tuple[dg.ExecuteInProcessResult, dict[str, dg.AssetCheckEvaluation]]:
    result = project.run("model", "photo_manifest")
    return result, {each.check_name: each for each in result.get_asset_check_evaluations()}


def numbers(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    names = ("stored_photos", "read_now", "found_sound_before", "problems")
    return {name: evaluation.metadata[name].value for name in names}


def a_shard(project: Project) -> tuple[Path, dict[str, Any]]:
    """A shard of the training set, and the row of a photo in it."""
    folder = project.layout.bucket("world_train-000")
    row = next(row for row in read_table(folder / MANIFEST_FILE).to_pylist() if row["offset"])
    return folder / row["shard"], row


def test_each_stored_photo_is_read_once(project: Project) -> None:
    project.crawl()
    _, first = checked(project)
    stored = numbers(first[AGREE])["stored_photos"]
    assert stored > 50
    assert numbers(first[BARE]) == numbers(first[AGREE])
    assert numbers(first[AGREE]) == {
        "stored_photos": stored, "read_now": stored, "found_sound_before": 0, "problems": 0
    }  # fmt: skip
    assert first[AGREE].blocking
    assert first[BARE].blocking
    _, second = checked(project)
    assert (numbers(second[AGREE])["read_now"], numbers(second[AGREE])["found_sound_before"]) == (0, stored)


def test_a_damaged_record_names_shard_offset_and_remedy_which_mends_it(project: Project) -> None:
    project.crawl()
    assert checked(project)[0].success
    shard, row = a_shard(project)
    content = bytearray(shard.read_bytes())
    content[row["offset"] + row["length"] - 9] ^= 1
    shard.write_bytes(content)
    result, found = checked(project)
    assert not result.success
    assert (found[AGREE].passed, found[BARE].passed) == (False, True)
    with pytest.raises(InputError) as told:
        raise_if_user_can_mend(result.all_events)
    place = f"{shard}: photo {row['photo_id']} at byte {row['offset']}: the picture has another sha256"
    assert place in str(told.value)
    assert "remove the shards that are named here and materialize photo_shards" in str(told.value)
    shard.unlink()
    assert project.crawl().success
    result, found = checked(project)
    assert result.success
    assert 0 < numbers(found[AGREE])["read_now"] < numbers(found[AGREE])["stored_photos"]


def test_metadata_in_a_stored_photo_fails_the_other_check(project: Project) -> None:
    project.crawl()
    shard, row = a_shard(project)
    buffer = io.BytesIO()
    Image.new("RGB", (80, 80)).save(buffer, "JPEG", comment="GPS 48.1 N 11.6 E")
    with ShardWriter(shard, shard.stat().st_size) as writer:
        offset, length = writer.append(row["photo_id"], buffer.getvalue())
    manifest = shard.parent / MANIFEST_FILE
    listed = read_table(manifest)
    moved = query_tables(
        """select * replace (case when photo_id = $id then $offset else "offset" end as "offset",
            case when photo_id = $id then $length else length end as length,
            case when photo_id = $id then $hash else image_sha256 end as image_sha256) from manifest""",
        manifest=listed, id=row["photo_id"], offset=offset, length=length,
        hash=hashlib.sha256(buffer.getvalue()).hexdigest(),
    )  # fmt: skip
    write_table(manifest, moved.cast(listed.schema))
    result, found = checked(project)
    assert not result.success
    assert (found[AGREE].passed, found[BARE].passed) == (True, False)
    assert re.search(rf"photo {row['photo_id']} at byte {offset}: a comment \(COM\)", str(found[BARE].description))


def test_photos_are_read_each_time_where_the_profile_says_so(
    project: Project, write_profile: Callable[..., Path]
) -> None:
    checks = {"min_ok_percent": 50, "max_rejected_percent": 0, "verify_again_days": 0}
    project.profile_file = write_profile(checks=checks)
    project.crawl()
    for _ in range(2):
        found = numbers(checked(project)[1][AGREE])
        assert found["read_now"] == found["stored_photos"]
    assert (project.layout.folder / VERIFIED).exists()


def test_removed_photos_do_not_count_in_the_share(project: Project, write_profile: Callable[..., Path]) -> None:
    profile = project.profile
    sets = list(profile.photo_sets)
    statuses = ["ok"] * 5 + ["removed"] * 90 + ["gone"] * 5
    columns = {"photo_set": [sets[0]] * 100 + sets[1:], "status": [*statuses, "ok", "ok", "removed"]}
    result = enough_photos_downloaded(Experiment(profile, project.layout), pa.table(columns))
    assert isinstance(result, dg.AssetCheckResult)
    assert result.passed
    project.profile_file = write_profile(checks__min_ok_percent=51)
    result = enough_photos_downloaded(Experiment(project.profile, project.layout), pa.table(columns))
    assert isinstance(result, dg.AssetCheckResult)
    assert not result.passed


def test_every_check_blocks() -> None:
    assert all(spec.blocking for check in all_checks for spec in check.check_specs)
