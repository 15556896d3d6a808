"""Importing a folder of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from geo_pipeline.crawl.bucket import Bucket, import_folder
from geo_pipeline.crawl.photo import store_picture
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.shards.reader import ShardReader
from geo_pipeline_tests.crawl.servers import picture

SETTINGS = CrawlSettings(max_bytes=20_000)
LISTED = {
    "a": "a.jpg",
    "b": "sub/b.jpg",
    "missing": "missing.jpg",
    "out": "../secret.jpg",
    "absolute": "/etc/hostname",
    "link": "link.jpg",
    "empty": "empty.jpg",
    "text": "text.jpg",
    "large": "large.jpg",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures = tmp_path / "pictures"
    (pictures / "sub").mkdir(parents=True)
    (pictures / "a.jpg").write_bytes(picture(1))
    (pictures / "sub" / "b.jpg").write_bytes(picture(2))
    (pictures / "empty.jpg").touch()
    (pictures / "text.jpg").write_text("no picture")
    (pictures / "large.jpg").write_bytes(bytes(20_001))
    (tmp_path / "secret.jpg").write_bytes(picture(3))
    (pictures / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    return pictures


def test_every_file_has_its_outcome_and_nothing_outside_is_read(
    folder: Path, make_bucket: Callable[..., Bucket]
) -> None:
    bucket = make_bucket(LISTED)
    result = import_folder(bucket, folder, SETTINGS)
    assert result.manifest is not None
    outcomes = dict(zip(LISTED, result.manifest["status"].to_pylist(), strict=True))
    assert outcomes == {
        "a": "ok",
        "b": "ok",
        "missing": "not_found",
        "out": "invalid_url",
        "absolute": "invalid_url",
        "link": "invalid_url",
        "empty": "empty",
        "text": "not_an_image",
        "large": "too_large",
    }
    row = result.manifest.to_pylist()[1]
    image = ShardReader(bucket.directory).image(row["shard"], row["offset"], row["length"])
    assert image == store_picture(picture(2), SETTINGS).jpeg


def test_importing_again_changes_nothing_until_a_file_changes(folder: Path, make_bucket: Callable[..., Bucket]) -> None:
    bucket = make_bucket(LISTED)
    first = import_folder(bucket, folder, SETTINGS)
    again = import_folder(bucket, folder, SETTINGS)
    assert first.changed
    assert not again.changed
    assert again.manifest is not None
    assert again.manifest.equals(first.manifest)
    (folder / "a.jpg").write_bytes(picture(7))
    (folder / "missing.jpg").write_bytes(picture(8))
    (folder / "sub" / "b.jpg").unlink()
    changed = import_folder(bucket, folder, SETTINGS)
    assert changed.changed
    assert changed.manifest is not None
    rows = {row["photo_id"]: row for row in changed.manifest.to_pylist()}
    assert rows["a"]["image_sha256"] == store_picture(picture(7), SETTINGS).image_sha256
    assert (rows["missing"]["status"], rows["b"]["status"]) == ("ok", "not_found")
    sizes = sum(path.stat().st_size for path in bucket.directory.glob("*.msg"))
    assert sizes == rows["a"]["length"] + rows["missing"]["length"]


def test_pictures_are_decoded_again_only_when_settings_of_pictures_change(
    folder: Path, make_bucket: Callable[..., Bucket]
) -> None:
    bucket = make_bucket(LISTED)
    import_folder(bucket, folder, SETTINGS)
    for change in ({"size_suffix": "z"}, {"records_per_shard": 1}):
        assert not import_folder(bucket, folder, SETTINGS.model_copy(update=change)).changed
    smaller = SETTINGS.model_copy(update={"image_size": 40, "quality": 50})
    result = import_folder(bucket, folder, smaller)
    assert result.changed
    assert result.manifest is not None
    row = result.manifest.to_pylist()[1]
    image = ShardReader(bucket.directory).image(row["shard"], row["offset"], row["length"])
    assert image == store_picture(picture(2), smaller).jpeg
    assert sum(path.stat().st_size for path in bucket.directory.glob("*.msg")) == sum(
        result.manifest["length"].drop_null().to_pylist()
    )
    assert not import_folder(bucket, folder, smaller).changed
