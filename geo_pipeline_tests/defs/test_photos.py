"""The photos group on a real instance, with a real photo server and real files."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from geo_pipeline.defs.outcome import raise_if_user_can_mend
from geo_pipeline.errors import InputError
from geo_pipeline.store import read_table
from geo_pipeline_tests.defs.project import Project, failure, materialized


def test_one_run_logs_each_bucket_once_and_a_second_one_nothing(project: Project) -> None:
    first = project.crawl()
    assert first.success
    keys = project.profile.bucket_keys()
    assert sorted(materialized(first)) == sorted((a, key) for a in ("url_lists", "photo_shards") for key in keys)
    second = project.crawl()
    assert second.success
    assert materialized(second) == []


def test_a_bucket_event_carries_its_own_versions_and_those_of_its_list(project: Project) -> None:
    project.crawl()
    versions = set()
    for key in project.profile.bucket_keys():
        lists, shards = (project.latest(asset, key) for asset in ("url_lists", "photo_shards"))
        assert shards.input_version("url_lists") == lists.data_version
        assert shards.input_pointer("url_lists") == lists.storage_id
        assert lists.input_version("url_files") == lists.data_version
        assert shards.code_version
        versions |= {shards.data_version, lists.data_version}
    assert len(versions) == 2 * len(project.profile.bucket_keys())


def test_one_added_url_makes_one_bucket_new_and_fetches_one_photo(
    project: Project, small_world: tuple[Path, int], tmp_path: Path, write_profile: Callable[..., Path]
) -> None:
    lists, _ = small_world
    shorter, whole = tmp_path / "shorter.csv", lists / "world_train_urls.csv"
    rows = whole.read_text("utf-8").splitlines()
    shorter.write_text("\n".join(rows[:-1]) + "\n", encoding="utf-8")
    project.profile_file = write_profile(photo_sets__world_train__url_csv=str(shorter))
    assert project.crawl().success
    shutil.copy(whole, shorter)
    again = project.crawl()
    changed = materialized(again)
    assert [asset for asset, _ in changed] == ["url_lists", "photo_shards"]
    assert len({bucket for _, bucket in changed}) == 1
    metadata = again.get_asset_materialization_events()[1].step_materialization_data.materialization.metadata
    assert metadata["requests"].value == 1


def test_the_manifest_has_every_listed_photo_and_the_checks_pass(project: Project) -> None:
    project.crawl()
    result = project.run("model", "photo_manifest", "photo_metadata")
    assert result.success
    manifest = read_table(project.layout.table("photo_manifest"))
    listed = sum(read_table(project.layout.table("url_lists", key)).num_rows for key in project.profile.bucket_keys())
    assert manifest.num_rows == listed == 100
    assert set(manifest["status"].to_pylist()) >= {"ok"}
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert len(result.get_asset_check_evaluations()) == 5


def test_too_few_downloads_stop_what_follows(project: Project, write_profile: Callable[..., Path]) -> None:
    project.profile_file = write_profile(checks__min_ok_percent=100)
    project.crawl()
    result = project.run(
        "model",
        "photo_manifest",
        "photo_metadata",
        "photo_classes",
        "training_photos",
        "cells_coarse",
        "cells_middle",
        "cells_fine",
    )
    assert not result.success
    made = {asset for asset, _ in materialized(result)}
    assert "photo_manifest" in made
    assert "training_photos" not in made
    assert "cells_fine" in made


def test_a_bad_metadata_row_is_kept_and_blocks(
    project: Project, write_profile: Callable[..., Path], bad_metadata: Path
) -> None:
    project.profile_file = write_profile(photo_sets__world_train__metadata_csv=str(bad_metadata))
    result = project.run("model", "photo_metadata", "cells_coarse")
    assert not result.success
    assert ("cells_coarse", None) not in materialized(result)
    (reject,) = read_table(project.layout.table("photo_metadata_rejects")).to_pylist()
    assert (reject["row"], reject["photo_id"]) == (62, "extra")
    assert "LAT is '95.0', expected a number from -90 to 90" in reject["reason"]
    (check,) = result.get_asset_check_evaluations()
    assert f"{bad_metadata}, row 62: {reject['reason']}" in str(check.description)
    with pytest.raises(InputError, match="1 rows cannot be used"):
        raise_if_user_can_mend(result.all_events)


def test_a_missing_file_fails_the_step_with_the_message_of_the_command_line(
    project: Project, write_profile: Callable[..., Path], tmp_path: Path
) -> None:
    project.profile_file = write_profile(photo_sets__world_train__url_csv=str(tmp_path / "absent.csv"))
    message = failure(project.crawl())
    assert f"world_train: {tmp_path / 'absent.csv'}: URL list, a CSV `image_id,url`" in message
    assert not project.layout.shards.exists()


def test_a_busy_port_fails_the_step_naming_the_port_and_the_remedy(
    project: Project, write_profile: Callable[..., Path], small_world: tuple[Path, int], tmp_path: Path
) -> None:
    lists, port = small_world
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        elsewhere = shutil.copytree(lists, tmp_path / "elsewhere")
        for path in elsewhere.glob("*_urls.csv"):
            path.write_text(path.read_text("utf-8").replace(f":{port}/", f":{other.server_port}/"), encoding="utf-8")
        project.profile_file = write_profile(world={"port": other.server_port, "lists": str(elsewhere)})
        message = failure(project.crawl())
        other.shutdown()
    assert str(other.server_port) in message
    assert "make-lists" in message


def test_a_file_in_the_way_of_a_folder_fails_the_step_naming_it(project: Project) -> None:
    project.layout.folder.mkdir()
    (project.layout.folder / "tables").write_text("in the way")
    message = failure(project.crawl())
    assert str(project.layout.folder / "tables") in message
    assert "a file stands where a folder is needed" in message
