"""What each change costs, on a real instance: what becomes stale, what the page marks, what is made again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from geo_pipeline.cells.published import write_cells_csv
from geo_pipeline.defs import lineage
from geo_pipeline.defs.jobs import all_buckets_tags
from geo_pipeline.defs.launch import Launch, Request, Task
from geo_pipeline.defs.making import KEPT
from geo_pipeline.defs.staleness import State
from geo_pipeline.defs.status import Status, current_status, status_text
from geo_pipeline.profile import PROJECT_FOLDER
from geo_pipeline.source_code import PACKAGE, code_behind
from geo_pipeline.store import read_table
from geo_pipeline_tests.conftest import profile_writer
from geo_pipeline_tests.defs.project import Project, materialized

AFTER_CELLS = ["cell_hierarchy", "photo_classes", "training_photos", "validation_photos"]
MODEL_AND_LATER = ["geo_model", "calibration", "benchmark_predictions", "benchmark_accuracy", "report"]
CELLS = ["cells_coarse", "cells_middle", "cells_fine"]


@pytest.fixture(scope="module")
def made(
    small_world: tuple[Path, int], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Callable[..., Path], dict[str, object]]:
    """A folder in which the whole small world was made once, the writer of its profile, and the changes made in it."""
    folder = tmp_path_factory.mktemp("made")
    training = yaml.safe_load((PROJECT_FOLDER / "resources" / "training" / "ci.yml").read_text("utf-8"))
    training["trainer_params"]["max_epochs"] = 1
    (folder / "training.yml").write_text(yaml.safe_dump(training), encoding="utf-8")
    base = {"training": str(folder / "training.yml")}
    write = profile_writer(small_world, folder / "small.yaml")
    (folder / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(folder / "dagster")) as instance:
        project = Project(instance, folder, write(**base))
        assert project.crawl().success
        assert project.run("model").success
    return folder, write, base


@pytest.fixture
def changed(made: Any, tmp_path: Path, small_world: tuple[Path, int]) -> Iterator[Changed]:
    """A copy of the made world, to change something in."""
    folder, _, base = made
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with dg.instance_for_test(temp_dir=str(copy / "dagster")) as instance:
        write = partial(profile_writer(small_world, copy / "small.yaml"), **base)
        yield Changed(instance, copy, write, small_world[0])


class Changed(Project):
    """A made project in which a test changes something."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path, write: Callable[..., Path], lists: Path) -> None:
        super().__init__(instance, folder, write())
        self.folder, self.write, self.lists = folder, write, lists

    def own(self, name: str) -> Path:
        """A copy of an input file that a test may change."""
        return Path(shutil.copy(self.lists / name, self.folder / name))

    def status(self) -> Status:
        return current_status(self.instance, self.experiment, self.definitions)

    def tasks(self, selection: str = "*") -> list[Task]:
        launch = Launch(self.instance, self.experiment, self.definitions, Request(selection, only_stale=True))
        return launch.tasks(self.status())

    def due(self) -> dict[tuple[str, str | None], State]:
        """State of each place that is not fresh; what the page marks must be the same."""
        found = {(each.asset, each.bucket): each.state for each in self.status().not_fresh()}
        not_failed = {place for place, state in found.items() if state is not State.FAILED}
        assert not_failed == self.marked_on_the_page()
        return found

    def marked_on_the_page(self) -> set[tuple[str, str | None]]:
        """The places that Dagster's own resolver, which the page asks, calls stale or missing."""
        graph = self.definitions.resolve_asset_graph()
        resolver = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        places = [
            (key.to_user_string(), bucket)
            for key in graph.materializable_asset_keys
            for bucket in (self.profile.bucket_keys() if graph.get(key).is_partitioned else [None])
        ]
        fresh = StaleStatus.FRESH
        return {(asset, bucket) for asset, bucket in places if resolver.get_status(dg.AssetKey(asset), bucket) != fresh}

    def bring_up_to_date(self, selection: str = "*") -> list[tuple[str, str | None]]:
        """Run the tasks as `materialize --stale` does; (asset, bucket) of each event, without what was kept."""
        events = []
        for job in ("crawl", "model"):
            for task in self.tasks(selection):
                if task.job == job:
                    result = self.run(job, *task.assets, tags=dict(task.tags))
                    assert result.success
                    events += [made for made in materialized(result) if made not in kept(result)]
        return events


def kept(result: dg.ExecuteInProcessResult) -> list[tuple[str, str | None]]:
    """What a run found to be up to date."""
    events = (event.step_materialization_data.materialization for event in result.get_asset_materialization_events())
    return [(event.asset_key.to_user_string(), event.partition) for event in events if KEPT in event.metadata]


def reasons(status: Status, asset: str, bucket: str | None = None) -> list[str]:
    (found,) = [each for each in status.places if (each.asset, each.bucket) == (asset, bucket)]
    return list(found.reasons)


def test_nothing_changed_nothing_runs(changed: Changed) -> None:
    assert changed.due() == {}
    assert changed.tasks() == []
    assert "everything is fresh" in status_text(changed.status())


def test_moving_and_touching_the_input_files_changes_nothing(changed: Changed) -> None:
    lists, metadata = changed.own("world_train_urls.csv"), changed.own("world_train_metadata.csv")
    changed.write(photo_sets__world_train__url_csv=str(lists), photo_sets__world_train__metadata_csv=str(metadata))
    assert changed.due() == {}


def test_img_max_of_the_fine_partitioning_costs_its_cells_and_what_follows(changed: Changed) -> None:
    changed.write(partitionings__fine={"img_min": 2, "img_max": 5})
    assert changed.due() == {("cells_fine", None): State.STALE}
    assert reasons(changed.status(), "cells_fine") == ["profile partitionings.fine.img_max: 15 → 5"]
    (task,) = changed.tasks()
    assert list(task.assets) == ["cells_fine", *AFTER_CELLS, *MODEL_AND_LATER]
    before_training = 'not key:"geo_model"+'
    assert {asset for asset, _ in changed.bring_up_to_date(before_training)} == {"cells_fine", *AFTER_CELLS}
    assert set(changed.due()) == {("geo_model", None), ("calibration", None), ("report", None)}


def test_img_max_without_an_effect_trains_nothing(changed: Changed) -> None:
    changed.write(partitionings__fine={"img_min": 2, "img_max": 14})
    made = changed.bring_up_to_date()
    assert made == [("cells_fine", None)]
    assert changed.due() == {}


def test_a_published_table_of_cells_costs_its_cells_and_what_follows_when_its_content_changes(changed: Changed) -> None:
    table = changed.folder / "fine.csv"
    cells = read_table(changed.layout.table("cells_fine"))
    write_cells_csv(table, cells)
    published = {"partitionings__fine": {"csv": str(table)}}
    changed.write(**published)
    assert changed.due() == {("cells_fine", None): State.STALE}
    assert changed.bring_up_to_date() == [("cells_fine", None)]
    table.touch()
    assert changed.due() == {}
    moved = changed.folder / "moved.csv"
    table.rename(moved)
    published["partitionings__fine"]["csv"] = str(moved)
    changed.write(**published)
    assert changed.due() == {}
    write_cells_csv(moved, cells.slice(0, cells.num_rows - 1))
    assert changed.due() == {("cells_fine", None): State.STALE}
    (reason,) = reasons(changed.status(), "cells_fine")
    assert f"{moved} (partitionings.fine.csv) has new content" in reason
    made = {asset for asset, _ in changed.bring_up_to_date('not key:"geo_model"+')}
    assert made == {"cells_fine", *AFTER_CELLS}
    assert read_table(changed.layout.table("cells_fine")).num_rows == cells.num_rows - 1


def test_one_added_url_costs_one_bucket_then_what_reads_the_manifest(changed: Changed) -> None:
    lists = changed.own("world_train_urls.csv")
    known = lists.read_text("utf-8").splitlines()[0].split(",")[1]
    lists.write_text(lists.read_text("utf-8") + f"one-more,{known}\n", encoding="utf-8")
    changed.write(photo_sets__world_train__url_csv=str(lists))
    ((asset, bucket),) = changed.due()
    assert asset == "url_lists"
    assert bucket is not None
    (reason,) = reasons(changed.status(), "url_lists", bucket)
    assert f"file {lists} (photo_sets.world_train.url_csv) has new content" in reason
    crawl, model = changed.tasks()
    assert crawl.buckets == (bucket,)
    assert list(crawl.assets) == ["url_lists", "photo_shards"]
    assert list(model.assets) == ["photo_manifest", "training_photos", "validation_photos", *MODEL_AND_LATER]
    made = changed.bring_up_to_date('not key:"geo_model"+')
    assert made[:2] == [("url_lists", bucket), ("photo_shards", bucket)]
    assert ("photo_manifest", None) in made
    requests = changed.latest("photo_shards", bucket).metadata["requests"].value
    assert requests == 1


def test_a_corrected_coordinate_costs_metadata_cells_and_labels_and_no_download(changed: Changed) -> None:
    metadata = changed.own("world_train_metadata.csv")
    photo = read_table(changed.layout.table("training_photos"))["photo_id"][0].as_py()
    header, *rows = metadata.read_text("utf-8").splitlines()
    latitude = header.split(",").index("LAT")
    values = {row.split(",")[0]: row.split(",") for row in rows}
    values[photo][latitude] = "-33.25"
    text = "\n".join([header, *(",".join(each) for each in values.values())])
    metadata.write_text(text + "\n", encoding="utf-8")
    changed.write(photo_sets__world_train__metadata_csv=str(metadata))
    assert changed.due() == {("photo_metadata", None): State.STALE}
    (task,) = changed.tasks()
    assert task.job == "model"
    assert list(task.assets) == ["photo_metadata", *CELLS, *AFTER_CELLS, *MODEL_AND_LATER]
    made = {asset for asset, _ in changed.bring_up_to_date('not key:"geo_model"+')}
    assert made == {"photo_metadata", *CELLS, *AFTER_CELLS}


def test_a_training_setting_costs_the_model_and_what_follows(changed: Changed) -> None:
    config = Path(changed.profile.training)
    text = config.read_text("utf-8")
    (changed.folder / "other.yml").write_text(text + "\n", encoding="utf-8")
    changed.write(training=str(changed.folder / "other.yml"))
    assert changed.due() == {}
    content = yaml.safe_load(text)
    content["model_params"]["optimizer"]["learning_rate"] = 0.5
    (changed.folder / "other.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert changed.due() == {("geo_model", None): State.STALE}
    (reason,) = reasons(changed.status(), "geo_model")
    assert reason.startswith("profile training.model_params.optimizer.learning_rate: ")
    assert reason.endswith(" → 0.5")
    (task,) = changed.tasks()
    assert list(task.assets) == MODEL_AND_LATER


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("evaluation/theme.py", '"#', '"#1', {"report"}),
        ("cells/hierarchy.py", "def cell_hierarchy(", "# a remark\ndef cell_hierarchy(", set()),
        ("evaluation/accuracy.py", '"""', '"""Other words. ', set()),
        ("model/combination.py", "    return", "    _ = None\n    return", {"calibration", "benchmark_predictions"}),
        ("training/loss.py", "    return", "    _ = None\n    return", {"geo_model"}),
        ("model/network.py", "    return", "    _ = None\n    return", set(MODEL_AND_LATER[:3])),
    ],
)
def test_a_change_of_code_costs_what_it_makes(
    changed: Changed, monkeypatch: pytest.MonkeyPatch, file: str, old: str, new: str, stale: set[str]
) -> None:
    package = changed.folder / "geo_pipeline"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (package / file).read_text("utf-8")
    assert old in text
    (package / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    monkeypatch.setattr(lineage, "code_behind", partial(code_behind, package=package))
    assert {asset for asset, _ in changed.due()} == stale
    if stale == {"report"}:
        assert reasons(changed.status(), "report")[0].startswith("code changed: geo_pipeline/evaluation/theme.py:")
        assert changed.bring_up_to_date() == [("report", None)]
        assert changed.due() == {}


def test_a_failed_bucket_costs_that_bucket(changed: Changed) -> None:
    bucket = "world_validation-000"
    folder = changed.layout.bucket(bucket)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    failed = changed.run("crawl", "photo_shards", tags=all_buckets_tags(changed.profile))
    assert not failed.success
    folder.unlink()
    assert changed.due() == {("photo_shards", bucket): State.FAILED}
    assert reasons(changed.status(), "photo_shards", bucket)[0].startswith(f"failed in run {failed.run_id[:8]}")
    crawl = changed.tasks()[0]
    assert (crawl.buckets, list(crawl.assets)) == ((bucket,), ["photo_shards"])
    changed.bring_up_to_date('key:"photo_shards"')
    assert ("photo_shards", bucket) not in changed.due()


@pytest.mark.parametrize("damage", ["deleted", "cut"])
@pytest.mark.parametrize(
    ("asset", "bucket", "file"),
    [
        ("cells_middle", None, "tables/cells_middle.parquet"),
        ("geo_model", None, "models/base/best.ckpt"),
        ("photo_shards", "world_1k-000", "shards/world_1k/world_1k-000/shard-00000.msg"),
        ("url_lists", "world_1k-000", "tables/url_lists/world_1k-000.parquet"),
    ],
)
def test_a_damaged_file_under_a_fresh_mark_is_missing(
    changed: Changed, damage: str, asset: str, bucket: str | None, file: str
) -> None:
    path = changed.layout.folder / file
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    status = changed.status()
    assert {(each.asset, each.bucket, each.state) for each in status.not_fresh()} == {(asset, bucket, State.MISSING)}
    assert reasons(status, asset, bucket) == [f"gone, cut or changed on disk: {file}"]
    if asset == "geo_model":
        return
    changed.bring_up_to_date(f'key:"{asset}"')
    assert (asset, bucket) not in {(each.asset, each.bucket) for each in changed.status().not_fresh()}


def test_a_cut_shard_loses_no_photo(changed: Changed) -> None:
    before = read_table(changed.layout.table("photo_manifest"))
    shard = changed.layout.bucket("world_1k-000") / "shard-00000.msg"
    shard.write_bytes(shard.read_bytes()[:-1])
    changed.bring_up_to_date('key:"photo_shards" or key:"photo_manifest"')
    after = read_table(changed.layout.table("photo_manifest"))
    assert after["status"].to_pylist() == before["status"].to_pylist()
    assert after["image_sha256"].to_pylist() == before["image_sha256"].to_pylist()


def test_a_changed_picture_of_a_folder_costs_its_bucket(changed: Changed) -> None:
    pictures = changed.folder / "pictures"
    shutil.copytree(changed.lists / "world_300", pictures)
    changed.write(photo_sets__world_300__image_dir=str(pictures))
    assert changed.due() == {}
    first, second = sorted(pictures.rglob("*.jpg"))[:2]
    shutil.copy(second, first)
    assert changed.due() == {("url_lists", "world_300-000"): State.STALE}
    made = changed.bring_up_to_date("url_lists, photo_shards")
    assert made == [("url_lists", "world_300-000"), ("photo_shards", "world_300-000")]


def test_a_removed_photo_leaves_every_list_shard_and_table(changed: Changed) -> None:
    photo = read_table(changed.layout.table("training_photos"))["photo_id"][0].as_py()
    removals = changed.folder / "removals.csv"
    removals.write_text(f"photo_id\n{photo}\n", encoding="utf-8")
    changed.write(removal_list=str(removals))
    changed.bring_up_to_date('not key:"geo_model"+')
    for table in ("photo_metadata", "photo_classes", "training_photos"):
        assert photo not in read_table(changed.layout.table(table))["photo_id"].to_pylist()
    rows = read_table(changed.layout.table("photo_manifest")).to_pylist()
    assert [row["status"] for row in rows if row["photo_id"] == photo] == ["removed"]
    bodies = b"".join(path.read_bytes() for path in changed.layout.shards.rglob("shard-*.msg"))
    assert photo.encode() not in bodies


def test_the_profiles_other_number_of_buckets_names_the_command_and_fetches_nothing(changed: Changed) -> None:
    from geo_pipeline.defs.bucket_counts import migrate

    changed.write(photo_sets__world_train__buckets=3)
    (problem,) = changed.status().problems
    assert "`geo-pipeline --profile small migrate-buckets` moves the photos without a request" in problem
    assert not changed.crawl().success
    migrate(changed.profile, changed.layout, print)
    assert changed.status().problems == ()
    changed.bring_up_to_date('not key:"geo_model"+')
    keys = [key for key in changed.profile.bucket_keys() if key.startswith("world_train")]
    assert [changed.latest("photo_shards", key).metadata["requests"].value for key in keys] == [0, 0, 0]
    assert set(changed.due()) == {("benchmark_predictions", None), ("report", None)}
