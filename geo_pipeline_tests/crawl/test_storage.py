"""A bucket's files, whatever moment a crash comes at."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from geo_pipeline import store
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import LEDGER, MANIFEST, Bucket, BucketStore
from geo_pipeline.errors import InputError
from geo_pipeline.shards.format import iterate_shard
from geo_pipeline.shards.manifest import ManifestRow, Status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = CrawlSettings(records_per_shard=3)


def url(photo_id: str) -> str:
    return f"http://example.org/{photo_id}"


def image(photo_id: str) -> bytes:
    return photo_id.encode() * 20


def bucket_of(make_bucket: Callable[..., Bucket], count: int) -> Bucket:
    return make_bucket({f"p{number}": url(f"p{number}") for number in range(count)})


def record(bucket_store: BucketStore, photo_id: str) -> None:
    digest = hashlib.sha256(image(photo_id)).hexdigest()
    bucket_store.record(ManifestRow(photo_id, url(photo_id), Status.OK, image_sha256=digest), image(photo_id))


def due(bucket_store: BucketStore) -> list[str]:
    found: list[str] = bucket_store.plan.due["photo_id"].to_pylist()
    return found


def stored(bucket: Bucket) -> dict[str, bytes]:
    records = [record for path in bucket.directory.glob("*.msg") for record in iterate_shard(path)]
    assert len({record.photo_id for record in records}) == len(records)
    return {record.photo_id: record.image for record in records}


def test_what_was_recorded_is_not_due_again(make_bucket: Callable[..., Bucket]) -> None:
    bucket = bucket_of(make_bucket, 7)
    first = BucketStore(bucket, SETTINGS, NOW)
    for photo_id in ("p4", "p1", "p6", "p0"):
        record(first, photo_id)
    first.close()
    second = BucketStore(bucket, SETTINGS, NOW)
    assert due(second) == ["p2", "p3", "p5"]
    for photo_id in due(second):
        record(second, photo_id)
    manifest, has_changed = second.finish()
    assert has_changed
    assert stored(bucket) == {photo_id: image(photo_id) for photo_id in manifest["photo_id"].to_pylist()}
    assert not (bucket.directory / LEDGER).exists()


def test_at_any_cut_of_shard_and_ledger_the_crawl_continues_with_what_is_whole(
    make_bucket: Callable[..., Bucket], tmp_path: Path
) -> None:
    bucket = bucket_of(make_bucket, 5)
    first = BucketStore(bucket, SETTINGS, NOW)
    for number in range(5):
        record(first, f"p{number}")
    shutil.copytree(bucket.directory, tmp_path / "saved")  # as a kill would leave it
    first.close()
    for name in ("shard-00000.msg", "shard-00001.msg", LEDGER):
        size = (tmp_path / "saved" / name).stat().st_size
        for cut in range(0, size, max(1, size // 15)):
            shutil.rmtree(bucket.directory)
            shutil.copytree(tmp_path / "saved", bucket.directory)
            with (bucket.directory / name).open("r+b") as stream:
                stream.truncate(cut)
            again = BucketStore(bucket, SETTINGS, NOW)
            for photo_id in due(again):
                record(again, photo_id)
            again.finish()
            assert stored(bucket) == {f"p{number}": image(f"p{number}") for number in range(5)}


def test_a_record_that_the_disk_never_got_is_fetched_again(make_bucket: Callable[..., Bucket]) -> None:
    bucket = bucket_of(make_bucket, 3)
    first = BucketStore(bucket, SETTINGS, NOW)
    record(first, "p0")
    first.sync()
    record(first, "p1")
    first._ledger.close()  # a power cut: no further sync
    shard = bucket.directory / "shard-00000.msg"
    content = shard.read_bytes()
    shard.write_bytes(content[:-10] + bytes(10))  # of the full length, but zeros
    assert due(BucketStore(bucket, SETTINGS, NOW)) == ["p1", "p2"]


def test_a_crash_around_the_new_manifest_leaves_the_old_bucket_or_the_new_one(
    make_bucket: Callable[..., Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = bucket_of(make_bucket, 6)
    first = BucketStore(bucket, SETTINGS, NOW)
    for photo_id in due(first):
        record(first, photo_id)
    first.finish()
    smaller = Bucket(bucket.key, bucket.photos.slice(1, 4), bucket.directory)
    write = store.write_table
    for writes_first in (False, True):

        def crash(path: Path, table: object, writes_first: bool = writes_first) -> None:
            if writes_first:
                write(path, table)
            raise OSError(5, "the power went")

        with monkeypatch.context() as patch:
            patch.setattr(store, "write_table", crash)
            broken = BucketStore(smaller, SETTINGS, NOW)
            with pytest.raises(OSError, match="the power went"):
                broken.finish()
            broken.close()
    again = BucketStore(smaller, SETTINGS, NOW)
    assert due(again) == []
    assert again.finish()[0]["photo_id"].to_pylist() == ["p1", "p2", "p3", "p4"]
    assert stored(bucket) == {f"p{number}": image(f"p{number}") for number in range(1, 5)}


def test_shards_that_nothing_names_are_deleted(make_bucket: Callable[..., Bucket]) -> None:
    bucket = bucket_of(make_bucket, 1)
    bucket.directory.mkdir(parents=True)
    (bucket.directory / "shard-00009.msg").write_bytes(b"left over")
    bucket_store = BucketStore(bucket, SETTINGS, NOW)
    record(bucket_store, "p0")
    bucket_store.finish()
    assert stored(bucket) == {"p0": image("p0")}


def test_a_manifest_of_another_version_is_an_input_error(make_bucket: Callable[..., Bucket]) -> None:
    bucket = bucket_of(make_bucket, 1)
    store.write_table(bucket.directory / MANIFEST, bucket.photos)
    with pytest.raises(InputError, match="written by another version"):
        BucketStore(bucket, SETTINGS, NOW)


def test_a_bucket_without_photos_has_a_manifest_too(make_bucket: Callable[..., Bucket]) -> None:
    some = bucket_of(make_bucket, 1)
    bucket = Bucket(some.key, some.photos.slice(0, 0), some.directory)
    assert [BucketStore(bucket, SETTINGS, NOW).finish()[1] for _ in range(2)] == [True, False]
    assert store.read_table(bucket.directory / MANIFEST).num_rows == 0
