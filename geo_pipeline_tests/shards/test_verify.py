"""Verification of real shards against a manifest, undamaged and damaged in every way that is looked for."""

from __future__ import annotations

import hashlib
import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from geo_pipeline.shards.format import ShardWriter
from geo_pipeline.shards.manifest import ManifestRow, Status, manifest_table
from geo_pipeline.shards.verified import Verification, verify_changed
from geo_pipeline.shards.verify import Fault, verify_photos


def picture(number: int, **options: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (number * 40 % 256, 90, 20)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture
def manifest(tmp_path: Path) -> pa.Table:
    """Three shards of two photos below `tmp_path`, in an order that is not theirs, and a photo that is not stored."""
    rows = [ManifestRow("absent", "", Status.GONE)]
    for number in range(6):
        name = f"shard-{number // 2}.msg"
        with ShardWriter(tmp_path / name, (tmp_path / name).stat().st_size if number % 2 else 0) as writer:
            image = picture(number)
            offset, length = writer.append(str(number), image)
        sha256 = hashlib.sha256(image).hexdigest()
        place = {"shard": name, "offset": offset, "length": length}
        rows.append(ManifestRow(str(number), "", Status.OK, image_sha256=sha256, **place))  # type: ignore[arg-type]
    return manifest_table(reversed(rows))


def test_sound_shards_have_no_problem(manifest: pa.Table, tmp_path: Path) -> None:
    assert list(verify_photos(manifest, tmp_path)) == []
    assert list(verify_photos(manifest.slice(0, 0), tmp_path)) == []


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1), change=st.integers(1, 255))
def test_any_changed_byte_is_found_in_its_record_and_in_no_other(
    manifest: pa.Table, tmp_path: Path, where: float, change: int
) -> None:
    shard = tmp_path / "shard-1.msg"
    sound = shard.read_bytes()
    at = round(where * (len(sound) - 1))
    shard.write_bytes(sound[:at] + bytes([sound[at] ^ change]) + sound[at + 1 :])
    try:
        (problem,) = verify_photos(manifest, tmp_path)
    finally:
        shard.write_bytes(sound)
    (row,) = [
        row for row in manifest.to_pylist() if row["shard"] == shard.name and 0 <= at - row["offset"] < row["length"]
    ]
    assert (problem.fault, problem.shard, problem.offset) == (Fault.DISAGREES, shard, row["offset"])


def test_a_cut_and_a_missing_shard_are_named_in_order(manifest: pa.Table, tmp_path: Path) -> None:
    (tmp_path / "shard-0.msg").unlink()
    last = tmp_path / "shard-2.msg"
    last.write_bytes(last.read_bytes()[:-1])
    first, second = verify_photos(manifest, tmp_path, threads=3)
    assert (first.shard.name, first.found) == ("shard-0.msg", "the shard is not there")
    assert (second.shard.name, second.photo_id) == ("shard-2.msg", "5")
    assert str(second).startswith(f"{last}: photo 5 at byte {second.offset}: damaged record: ")


def test_a_record_of_another_photo_disagrees(manifest: pa.Table, tmp_path: Path) -> None:
    ids = manifest["photo_id"].to_pylist()
    renamed = manifest.set_column(0, manifest.schema.field(0), pa.array(["x" if each == "3" else each for each in ids]))
    (problem,) = verify_photos(renamed, tmp_path)
    assert (problem.photo_id, problem.found) == ("x", "holds photo 3")


def test_metadata_in_a_stored_photo_is_another_fault(tmp_path: Path) -> None:
    image = picture(1, comment="taken at home")
    with ShardWriter(tmp_path / "shard-0.msg") as writer:
        offset, length = writer.append("1", image)
    sha256 = hashlib.sha256(image).hexdigest()
    row = ManifestRow("1", "", Status.OK, image_sha256=sha256, shard="shard-0.msg", offset=offset, length=length)
    (problem,) = verify_photos(manifest_table([row]), tmp_path)
    assert problem.fault is Fault.FOREIGN_CONTENT
    assert "a comment (COM) at byte" in problem.found


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def verified(manifest: pa.Table, root: Path, days_later: float = 0.0, rules: str = "") -> Verification:
    memory, now = root / "verified.json", NOW + timedelta(days=days_later)
    return verify_changed(manifest, root, memory, rules=rules, now=now, again_after=timedelta(days=30))


def test_what_was_found_sound_is_not_read_again_until_it_is_long_ago(manifest: pa.Table, tmp_path: Path) -> None:
    assert verified(manifest, tmp_path) == Verification((), {}, num_photos=6, num_read=6)
    assert verified(manifest, tmp_path, 29).num_read == 0
    assert verified(manifest, tmp_path, 30).num_read == 6
    assert verified(manifest, tmp_path, 59).num_read == 0
    assert verified(manifest, tmp_path, 59, rules="other").num_read == 6


def test_a_shard_that_changed_is_read_and_no_other(manifest: pa.Table, tmp_path: Path) -> None:
    verified(manifest, tmp_path)
    shard = tmp_path / "shard-1.msg"
    os.utime(shard, ns=(0, shard.stat().st_mtime_ns + 1))
    assert verified(manifest, tmp_path).num_read == 2
    without_one = manifest.filter(pa.array([each != "5" for each in manifest["photo_id"].to_pylist()]))
    assert (verified(without_one, tmp_path).num_photos, verified(manifest, tmp_path).num_read) == (5, 2)


def test_a_damaged_shard_is_read_until_it_is_mended(manifest: pa.Table, tmp_path: Path) -> None:
    shard = tmp_path / "shard-1.msg"
    sound = shard.read_bytes()
    shard.write_bytes(sound[:-1])
    for _ in range(2):
        found = verified(manifest, tmp_path)
        assert [problem.photo_id for problem in found.problems] == ["3"]
        assert found.counts == {Fault.DISAGREES: 1}
    assert found.num_read == 2
    shard.unlink()
    assert [problem.found for problem in verified(manifest, tmp_path).problems] == ["the shard is not there"]
    shard.write_bytes(sound)
    assert verified(manifest, tmp_path).problems == ()
    assert verified(manifest, tmp_path).num_read == 0


@pytest.mark.parametrize("content", ["", "[]", '{"shard-1.msg": 3}', '{"shard-1.msg": {"mark": 1}}'])
def test_a_damaged_memory_costs_one_reading(manifest: pa.Table, tmp_path: Path, content: str) -> None:
    (tmp_path / "verified.json").write_text(content, encoding="utf-8")
    assert verified(manifest, tmp_path).num_read == 6
    assert verified(manifest, tmp_path).num_read == 0


def test_nothing_stored_is_nothing_to_read(manifest: pa.Table, tmp_path: Path) -> None:
    assert verified(manifest.slice(0, 0), tmp_path) == Verification((), {}, num_photos=0, num_read=0)
