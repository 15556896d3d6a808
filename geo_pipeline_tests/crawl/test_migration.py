"""Another number of buckets: nothing is lost, whatever happens."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline import store
from geo_pipeline.crawl.ledger import Ledger
from geo_pipeline.crawl.migration import MigrationResult, bucket_count, is_migration_due, migrate_buckets
from geo_pipeline.crawl.remembered import remembered_settings, settings_of
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import LEDGER, MANIFEST, Bucket, BucketStore
from geo_pipeline.errors import InputError
from geo_pipeline.photos.url_lists import bucket_numbers
from geo_pipeline.shards.format import ShardWriter, iterate_shard
from geo_pipeline.shards.manifest import MANIFEST_SCHEMA, ManifestRow, Status
from geo_pipeline.shards.reader import ShardReader

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CRAWL = CrawlSettings(records_per_shard=3)
PLACE = ["shard", "offset"]

outcomes = st.sampled_from([Status.OK, Status.OK, Status.NOT_FOUND, Status.SERVER_ERROR])
photo_sets = st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), outcomes, max_size=25)
numbers = st.integers(1, 6)


def image(photo_id: str) -> bytes:
    return hashlib.sha256(photo_id.encode()).digest() * 3


def row(photo_id: str, status: Status) -> ManifestRow:
    made = ManifestRow(photo_id, f"http://h/{photo_id}", status, attempts=2, fetched_at=NOW)
    if status is Status.OK:
        return replace(made, image_sha256=hashlib.sha256(image(photo_id)).hexdigest(), width=3, etag='"e"')
    return replace(made, next_attempt_at=NOW if status.is_retried else None, error="why")


def crawl(folder: Path, photos: Mapping[str, Status], num_buckets: int, crawl_settings: CrawlSettings = CRAWL) -> None:
    """Record outcomes as a crawl does, in buckets of `folder`."""
    ids = sorted(photos)
    targets = bucket_numbers(pa.chunked_array([pa.array(ids, pa.string())]), num_buckets)
    for number in range(num_buckets):
        chosen = [ids[i] for i in np.flatnonzero(targets == number)]
        listed = pa.table({"photo_id": pa.array(chosen, pa.string())})
        listed = listed.append_column("url", pa.array([f"http://h/{i}" for i in chosen], pa.string()))
        opened = BucketStore(Bucket("s", listed, folder / f"{folder.name}-{number:03d}"), crawl_settings, NOW)
        for photo_id in reversed(opened.plan.due["photo_id"].to_pylist()):
            status = photos[photo_id]
            opened.record(row(photo_id, status), image(photo_id) if status is Status.OK else None)
        opened.finish()


def migrate(folder: Path, num_buckets: int, **options: Any) -> MigrationResult:
    return migrate_buckets(folder, folder.name, num_buckets, bucket_numbers, records_per_shard=3, **options)


def tables(folder: Path) -> list[pa.Table]:
    """The manifests in order, after comparing each with its shards and its photos with their hashes."""
    found = []
    for number in range(bucket_count(folder, folder.name) or 0):
        bucket = folder / f"{folder.name}-{number:03d}"
        manifest = store.read_table(bucket / MANIFEST)
        assert manifest.schema.equals(MANIFEST_SCHEMA)
        assert set(bucket_numbers(manifest["photo_id"], bucket_count(folder, folder.name) or 0)) <= {number}
        with closing(ShardReader(bucket)) as reader:
            for each in manifest.filter(pa.compute.is_valid(manifest["shard"])).to_pylist():
                place = each["shard"], each["offset"], each["length"]
                assert reader.record(*place) == (each["photo_id"], image(each["photo_id"]))
        in_shards = [record.photo_id for path in bucket.glob("*.msg") for record in iterate_shard(path)]
        assert len(in_shards) == len(manifest) - manifest["shard"].null_count
        assert all(sum(1 for _ in iterate_shard(path)) <= 3 for path in bucket.glob("*.msg"))
        assert {path.name for path in bucket.iterdir()} == {MANIFEST, *manifest["shard"].drop_null().to_pylist()}
        found.append(manifest)
    return found


def without_places(manifests: list[pa.Table]) -> list[pa.Table]:
    return [manifest.drop_columns(PLACE) for manifest in manifests]


def everything(folder: Path) -> list[dict[str, Any]]:
    """All rows without their places, by photo id."""
    rows = [each for manifest in without_places(tables(folder)) for each in manifest.to_pylist()]
    return sorted(rows, key=lambda each: each["photo_id"])


@settings(deadline=None, max_examples=25)
@given(photos=photo_sets, before=numbers, after=numbers)
def test_every_photo_moves_to_the_bucket_of_its_hash_and_back_with_its_row_and_picture(
    photos: dict[str, Status], before: int, after: int
) -> None:
    with TemporaryDirectory() as root:
        folder = Path(root) / "set"
        crawl(folder, photos, before)
        first, rows = tables(folder), everything(folder)
        assert {each["photo_id"]: each["status"] for each in rows} == photos
        told: list[tuple[int, int]] = []

        result = migrate(folder, after, on_progress=lambda done, of: told.append((done, of)))

        assert result == MigrationResult(before, after, len(photos), 0)
        assert bucket_count(folder, "set") == after
        assert everything(folder) == rows
        assert all(settings_of(manifest) == remembered_settings(CRAWL) for manifest in tables(folder))
        num_stored = sum(status is Status.OK for status in photos.values())
        assert not told or told[-1] == (num_stored, num_stored)
        migrate(folder, before)
        assert [path.name for path in Path(root).iterdir()] == ["set"]
        assert without_places(tables(folder)) == without_places(first)


def test_the_crawl_after_a_migration_finds_everything_settled(tmp_path: Path) -> None:
    photos = {f"p{number}": Status.OK for number in range(20)}
    crawl(tmp_path / "set", photos, 2)
    migrate(tmp_path / "set", 5)
    before = tables(tmp_path / "set")
    crawl(tmp_path / "set", photos | {"p5": Status.EMPTY}, 5)  # would be recorded were it due
    assert tables(tmp_path / "set") == before


def test_whenever_a_migration_is_killed_the_next_one_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, snapshots = tmp_path / "shards", tmp_path / "snapshots"
    crawl(root / "set", {f"p{number}": Status.OK for number in range(12)}, 2)
    rows = everything(root / "set")

    def snapshot() -> None:
        """The folder as a kill at this moment would leave it."""
        shutil.copytree(root, snapshots / f"{len(list(snapshots.iterdir())):03d}")

    def watched(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            snapshot()
            done = step(*arguments, **options)
            snapshot()
            return done

        return run

    def remove_by_and_by(path: Path, **_: bool) -> None:
        for each in sorted(path.rglob("*"), reverse=True):
            (Path.rmdir if each.is_dir() else Path.unlink)(each)
            snapshot()
        path.rmdir()

    snapshots.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", watched(Path.rename))
        patch.setattr(store, "write_table", watched(store.write_table))
        patch.setattr(ShardWriter, "append", watched(ShardWriter.append))
        patch.setattr(shutil, "rmtree", remove_by_and_by)
        migrate(root / "set", 3)
    killed = sorted(snapshots.iterdir())
    names = [{path.name for path in each.iterdir()} for each in killed]
    assert {"set", ".set.migrating"} in names
    assert {".set.before-migration", ".set.migrating"} in names
    assert {".set.before-migration", "set"} in names
    for each in killed:
        migrate(each / "set", 3)
        assert [path.name for path in each.iterdir()] == ["set"]
        assert everything(each / "set") == rows
        assert not is_migration_due(each / "set", "set", 3, bucket_numbers)


@pytest.mark.parametrize("failing", ["the last manifest", "the first rename", "the second rename"])
def test_a_migration_that_fails_can_be_run_again(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shards" / "set"
    crawl(folder, {f"p{number}": Status.OK for number in range(12)}, 3)
    rows = everything(folder)
    write, rename, manifests, renames = store.write_table, Path.rename, [0], [0]

    def fail_writing(path: Path, table: pa.Table) -> None:
        manifests[0] += 1
        if failing == "the last manifest" and manifests[0] == 2:
            raise OSError(28, "No space left on device", str(path))
        write(path, table)

    def fail_renaming(path: Path, target: Path) -> Path:
        if path.name == {"the first rename": "set", "the second rename": ".set.migrating"}.get(failing):
            renames[0] += 1
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_table", fail_writing)
        patch.setattr(Path, "rename", fail_renaming)
        with pytest.raises((OSError, KeyboardInterrupt)):
            migrate(folder, 2)
    assert manifests[0] == 2
    if failing == "the second rename":
        assert is_migration_due(folder, "set", 2, bucket_numbers)
    else:
        assert [path.name for path in folder.parent.iterdir()] == ["set"]  # no space is taken by what failed
        assert everything(folder) == rows
    migrate(folder, 2)
    assert everything(folder) == rows
    assert bucket_count(folder, "set") == 2


def test_a_picture_that_cannot_be_read_is_due_again_and_the_others_move(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    crawl(folder, {f"p{number:02d}": Status.OK for number in range(20)} | {"lost": Status.NOT_FOUND}, 1)
    [manifest] = tables(folder)
    places = {each["photo_id"]: each for each in manifest.to_pylist()}
    shards = folder / "set-000"
    (shards / places["p00"]["shard"]).unlink()
    overwrite(shards, places["p10"], 3, b"\xc1")  # no MessagePack
    overwrite(shards, places["p11"], -5, b"other")  # of the same length, but other bytes
    gone = {photo_id for photo_id, each in places.items() if each["shard"] == places["p00"]["shard"]} | {"p10", "p11"}

    result = migrate(folder, 4)

    assert result == MigrationResult(1, 4, 21, len(gone))
    moved = {each["photo_id"]: each for each in everything(folder)}
    for photo_id, each in moved.items():
        if photo_id in gone:
            known = {name: value for name, value in each.items() if value is not None}
            url = f"http://h/{photo_id}"
            assert known == {
                "photo_id": photo_id, "url": url, "status": "pending", "attempts": 0, "bytes_received": 0
            }  # fmt: skip
        else:
            assert each == {name: places[photo_id][name] for name in each}
    crawl(folder, dict.fromkeys(places, Status.OK) | {"lost": Status.GONE}, 4)
    statuses = {each["photo_id"]: each["status"] for each in everything(folder)}
    assert statuses == dict.fromkeys(places, "ok") | {"lost": "not_found"}


def overwrite(shards: Path, place: Mapping[str, Any], at: int, content: bytes) -> None:
    """Damage a record, `at` bytes from its begin or its end."""
    with (shards / place["shard"]).open("r+b") as stream:
        stream.seek(place["offset"] + (at if at >= 0 else place["length"] + at))
        stream.write(content)


def test_a_set_whose_crawl_is_not_finished_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    crawl(folder, {f"p{number}": Status.OK for number in range(9)}, 3)
    with closing(Ledger(folder / "set-001" / LEDGER)) as ledger:
        ledger.begin("base", {})
        ledger.append(row("p1", Status.OK))
        with pytest.raises(InputError, match="set-001: another process is crawling"):
            migrate(folder, 2)
    with pytest.raises(InputError, match=r"set-001: its crawl is not finished; set photo_sets\.set\.buckets back .*3"):
        migrate(folder, 2)
    assert [path.name for path in folder.rglob(LEDGER)] == [LEDGER]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    (folder / "set-001" / LEDGER).unlink()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt: found between buckets"):
        migrate(folder, 2)
    assert (folder / "notes.txt").exists()


def test_a_crawl_and_another_migration_are_kept_out_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    photos = {f"p{number}": Status.OK for number in range(9)}
    crawl(folder, photos, 2)
    refused = []

    def try_others(*_: int) -> None:
        for other in (lambda: crawl(folder, photos, 2), lambda: migrate(folder, 4)):
            with pytest.raises(InputError) as raised:
                other()
            refused.append(str(raised.value))

    migrate(folder, 3, on_progress=try_others)
    assert ["another process is crawling" in refused[0], "another process is migrating" in refused[1]] == [True, True]
    assert len(everything(folder)) == 9


def test_a_set_that_a_crawl_began_anew_between_the_renames_is_not_touched(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    crawl(folder, {"a": Status.OK}, 1)
    for hidden in (".set.before-migration", ".set.migrating"):
        shutil.copytree(folder, tmp_path / hidden)
    with pytest.raises(InputError, match=r"\.set\.migrating, ready to be put in its place: move .*set away"):
        migrate(folder, 2)
    folder.rename(tmp_path / "aside")
    assert migrate(folder, 2).num_photos == 1


def test_photos_of_differently_crawled_buckets_are_due_if_their_settings_are_not_those_of_most(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    photos = {f"p{number}": Status.OK for number in range(30)} | {"t": Status.TOO_LARGE}
    crawl(folder, photos, 3)
    changed = tables(folder)[1]
    other = CRAWL.model_copy(update={"quality": 20, "max_bytes": 7})
    path = folder / "set-001" / MANIFEST
    store.write_table(path, changed.replace_schema_metadata(remembered_settings(other)))
    migrate(folder, 2)
    assert all(settings_of(manifest) == remembered_settings(CRAWL) for manifest in tables(folder))
    marked = {each["photo_id"] for each in everything(folder) if each["next_attempt_at"] is not None}
    assert marked == {each["photo_id"] for each in changed.to_pylist() if each["status"] in {"ok", "too_large"}}
    listed = tables(folder)[0].select(["photo_id", "url"])
    with closing(BucketStore(Bucket("s", listed, folder / "set-000"), CRAWL, NOW)) as opened:
        assert set(opened.plan.due["photo_id"].to_pylist()) == marked & set(listed["photo_id"].to_pylist())


def test_a_photo_in_two_buckets_is_taken_from_where_its_picture_is(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    crawl(folder, {"a": Status.OK, "b": Status.OK}, 1)
    crawl(tmp_path / "other", {"a": Status.SERVER_ERROR, "c": Status.OK}, 1)
    (tmp_path / "other" / "other-000").rename(folder / "set-001")
    assert migrate(folder, 1).num_photos == 3
    assert [each["status"] for each in everything(folder)] == ["ok", "ok", "ok"]


def test_what_is_on_disk_is_counted_and_a_set_crawled_in_part_needs_no_migration(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert bucket_count(folder, "set") is None
    assert migrate(tmp_path / "nowhere" / "set", 3) == migrate(folder, 3) == MigrationResult(0, 3, 0, 0)
    crawl(folder, {f"p{number}": Status.OK for number in range(30)}, 6)
    for number in (4, 5):
        shutil.rmtree(folder / f"set-00{number}")
    assert bucket_count(folder, "set") == 4
    assert not is_migration_due(folder, "set", 6, bucket_numbers)
    assert is_migration_due(folder, "set", 4, bucket_numbers)
    migrate(folder, 4)
    assert not is_migration_due(folder, "set", 4, bucket_numbers)
