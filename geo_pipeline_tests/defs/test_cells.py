"""The group cells on a real instance: what its assets say, what its checks find, and what a published table changes."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from geo_pipeline.cells import partitioning
from geo_pipeline.cells.assignment import assign_classes
from geo_pipeline.cells.published import write_cells_csv
from geo_pipeline.defs.cell_checks import (
    CLASSES,
    HIERARCHY,
    OF_EVERY_PARTITIONING,
    OF_MADE_PARTITIONINGS,
    build_cell_checks,
    partitioning_problems,
)
from geo_pipeline.defs.io_managers import COLUMN_SCHEMA, ROW_COUNT
from geo_pipeline.defs.outcome import FinishedRun, Outcome, failure_text, raise_if_user_can_mend
from geo_pipeline.defs.resources import build_resources
from geo_pipeline.defs.status import current_status
from geo_pipeline.errors import InputError
from geo_pipeline.store import read_table, write_table
from geo_pipeline_tests.cells.test_audit import spoilt
from geo_pipeline_tests.conftest import profile_writer
from geo_pipeline_tests.defs.project import Project, failure, materialized

WriteProfile = Callable[..., Path]

CELLS = ("cells_coarse", "cells_middle", "cells_fine")
GROUP = (*CELLS, "cell_hierarchy", "photo_classes")
MADE = {**OF_EVERY_PARTITIONING, **OF_MADE_PARTITIONINGS}
CHECKS = {**{asset: set(MADE) for asset in CELLS}, "cell_hierarchy": set(HIERARCHY), "photo_classes": set(CLASSES)}


@pytest.fixture(scope="module")
def made_once(small_world: tuple[Path, int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which cells, hierarchy and labels of the small world were made."""
    folder = tmp_path_factory.mktemp("cells")
    (folder / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(folder / "dagster")) as instance:
        project = Project(instance, folder, profile_writer(small_world, folder / "small.yaml")())
        assert project.run("model", "photo_metadata", *GROUP).success
    return folder


@pytest.fixture
def made(made_once: Path, write_profile: WriteProfile, tmp_path: Path) -> Iterator[Project]:
    """A copy of it, to change something in."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    with dg.instance_for_test(temp_dir=str(tmp_path / "dagster")) as instance:
        yield Project(instance, tmp_path, write_profile())


def outcomes(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, dg.AssetCheckEvaluation]]:
    """The evaluations of a run by asset and check, those of photo_metadata left out."""
    found: dict[str, dict[str, dg.AssetCheckEvaluation]] = {}
    for each in result.get_asset_check_evaluations():
        found.setdefault(each.asset_key.to_user_string(), {})[each.check_name] = each
    return {asset: checks for asset, checks in found.items() if asset != "photo_metadata"}


def failed(result: dg.ExecuteInProcessResult) -> set[tuple[str, str]]:
    return {
        (asset, name) for asset, checks in outcomes(result).items() for name, each in checks.items() if not each.passed
    }


def check_again(project: Project) -> dg.ExecuteInProcessResult:
    """Run the checks of the group on the tables as they lie on disk."""
    definitions = dg.Definitions(
        assets=list(project.definitions.assets or []),
        asset_checks=build_cell_checks(project.profile),
        jobs=[dg.define_asset_job("checks", dg.AssetSelection.checks_for_assets(*GROUP))],
        resources=build_resources(project.experiment),
    )
    job = definitions.resolve_job_def("checks")
    return job.execute_in_process(instance=project.instance, raise_on_error=False)


def spoil(project: Project, asset: str, change: Callable[[pa.Table], pa.Table]) -> pa.Table:
    """Change a table on disk; what it was before."""
    path = project.layout.table(asset)
    whole = read_table(path)
    write_table(path, change(whole))
    return whole


def test_every_asset_of_the_group_is_checked_in_two_steps(project: Project) -> None:
    result = project.run("model", "photo_metadata", *GROUP)
    assert result.success
    found = outcomes(result)
    assert {asset: set(checks) for asset, checks in found.items()} == CHECKS
    assert all(each.passed and each.blocking for checks in found.values() for each in checks.values())
    assert all(each.metadata["problems"].value == 0 for checks in found.values() for each in checks.values())
    steps = {event.step_key for event in result.all_events if event.is_step_start}
    assert len(steps) == len({"photo_metadata", "metadata_is_clean", *GROUP}) + 2
    assert failed(check_again(project)) == set()


def test_a_partitioning_is_made_and_checked_alone(project: Project) -> None:
    result = project.run("model", "photo_metadata", "cells_middle")
    assert result.success
    assert {asset: set(checks) for asset, checks in outcomes(result).items()} == {"cells_middle": set(MADE)}


@pytest.mark.parametrize(
    ("asset", "check", "change", "told"),
    [
        (
            "cells_fine",
            {"cells_are_disjoint", "counts_are_those_of_the_photos"},
            lambda t: spoilt(t, "hex_id", 1, t["hex_id"][0].as_py()),
            "stands twice",
        ),
        (
            "cells_middle",
            {"labels_are_dense"},
            lambda t: spoilt(t, "class_label", t.num_rows - 1, t.num_rows),
            "no cell has the class label",
        ),
        (
            "cells_coarse",
            {"cells_are_in_bounds", "counts_are_those_of_the_photos"},
            lambda t: spoilt(t, "imgs_per_cell", 0, 2),
            "holds 2 photos, not more than img_min 2",
        ),
        (
            "cells_fine",
            {"counts_are_those_of_the_photos"},
            lambda t: spoilt(t, "imgs_per_cell", 0, 8 if t["imgs_per_cell"][0].as_py() == 7 else 7),
            "by assigning the 60 listed training photos",
        ),
        (
            "cell_hierarchy",
            {"hierarchy_is_total"},
            lambda t: t.slice(1),
            "class label 0 of fine stands 0 times",
        ),
        (
            "photo_classes",
            {"labels_agree_with_s2sphere"},
            lambda t: spoilt(t, "coarse", 5, 99),
            "has the coarse class label 99, s2sphere finds",
        ),
    ],
)  # fmt: skip
def test_a_table_spoilt_on_disk_fails_the_checks_that_it_breaks(
    made: Project, asset: str, check: set[str], change: Callable[[pa.Table], pa.Table], told: str
) -> None:
    spoil(made, asset, change)
    result = check_again(made)
    assert {name for about, name in failed(result) if about == asset} == check
    texts = [str(each.description) for each in outcomes(result)[asset].values() if not each.passed]
    assert any(told in text for text in texts), texts
    assert all(f"materialize 'key:{asset}'" in text for text in texts)
    assert made.run("model", asset).success


def test_labels_swapped_with_their_counts_fail_the_check_of_their_order_alone(made: Project) -> None:
    def swap(cells: pa.Table) -> pa.Table:
        labels = cells["class_label"].to_pylist()
        labels[0], labels[1] = labels[1], labels[0]
        return cells.set_column(0, "class_label", pa.array(labels, pa.int32()))

    spoil(made, "cells_coarse", swap)
    of_coarse = {name for asset, name in failed(check_again(made)) if asset == "cells_coarse"}
    assert of_coarse == {"labels_follow_cell_ids"}


def test_a_failed_check_stops_what_follows_and_says_what_to_do(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = partitioning.make_partitionings
    one_more = lambda t: spoilt(t, "imgs_per_cell", 0, t["imgs_per_cell"][0].as_py() + 1)  # noqa: E731
    monkeypatch.setattr(partitioning, "make_partitionings", lambda *a: [one_more(t) for t in make(*a)])
    before = current_status(project.instance, project.experiment, project.definitions)
    result = project.run("model", "photo_metadata", *GROUP)
    assert not result.success
    assert {asset for asset, _ in materialized(result)} == {"photo_metadata", *CELLS}
    assert failed(result) == {(asset, "counts_are_those_of_the_photos") for asset in CELLS}
    with pytest.raises(InputError, match=r"materialize 'key:cells_fine'") as told:
        raise_if_user_can_mend(result.all_events)
    token = read_table(project.layout.table("cells_fine"))["hex_id"][0].as_py()
    assert f"cell {token} (class label 0) holds " in str(told.value)
    outcome = Outcome(before, ("photo_metadata", *GROUP))
    outcome.add(FinishedRun(result.success, tuple(result.all_events)))
    assert set(outcome.failures()) == set(CELLS)
    assert """--stale 'key:"cells_coarse"+ or key:"cells_middle"+ or key:"cells_fine"+'""" in failure_text(outcome)


def test_the_page_of_a_partitioning_tells_its_counts_levels_and_sizes(made: Project) -> None:
    cells = read_table(made.layout.table("cells_fine"))
    told = made.latest("cells_fine").metadata
    numbers = {name: value.value for name, value in told.items() if isinstance(value.value, int | float)}
    photos = cells["imgs_per_cell"].to_numpy()
    assert numbers["cells"] == numbers[ROW_COUNT] == cells.num_rows
    assert numbers["listed_training_photos"] == 60
    assert numbers["photos_kept"] == photos.sum() < 60
    assert numbers["photos_kept"] + numbers["photos_left_out"] == 60
    spread = [numbers[f"photos_per_cell_{word}"] for word in ("least", "median", "most")]
    assert spread == [photos.min(), np.median(photos), photos.max()]
    assert str(told["levels"].value).startswith("| level | cells | photos |")
    for picture in ("levels_histogram", "photos_per_cell", "map"):
        data = str(told[picture].value).partition("base64,")[2].rstrip(")")
        assert Image.open(io.BytesIO(base64.b64decode(data))).width > 300


def test_the_pages_of_hierarchy_and_labels_tell_how_many_of_what(made: Project) -> None:
    told = made.latest("cell_hierarchy").metadata
    rows = str(told["fine_cells_in_coarser_ones"].value).splitlines()
    coarse = read_table(made.layout.table("cells_coarse")).num_rows
    assert rows[2].startswith(f"| coarse | {coarse} | ")
    assert {"in_each_coarse_cell", "in_each_middle_cell"} <= set(told)
    classes = read_table(made.layout.table("photo_classes"))
    told = made.latest("photo_classes").metadata
    for name in ("coarse", "middle", "fine"):
        assert told[f"photos_without_{name}_class"].value == classes[name].null_count
    of_training = classes.filter(pc.equal(classes["photo_set"], "world_train"))
    counts = [len(of_training) - of_training[name].null_count for name in ("coarse", "middle", "fine")]
    assert f"| world_train | 60 | {' | '.join(map(str, counts))} |" in str(told["labelled_photos"].value)


@pytest.mark.parametrize("asset", GROUP)
def test_every_column_of_the_group_is_described(made: Project, asset: str) -> None:
    schema = made.latest(asset).metadata[COLUMN_SCHEMA].value
    assert isinstance(schema, dg.TableSchema)
    assert [column.name for column in schema.columns if not column.description] == []


def test_a_published_partitioning_keeps_its_labels_and_gets_the_checks_that_apply(
    made: Project, write_profile: WriteProfile, tmp_path: Path
) -> None:
    fine = read_table(made.layout.table("cells_fine"))
    backwards = pa.array(range(fine.num_rows - 1, -1, -1), pa.int32())
    other = fine.set_column(0, "class_label", backwards)
    other = other.set_column(2, "imgs_per_cell", pa.array([1000] * fine.num_rows, pa.int64()))
    write_cells_csv(tmp_path / "fine.csv", other)
    write_profile(partitionings__fine={"csv": str(tmp_path / "fine.csv")})
    result = made.run("model", *GROUP)
    assert result.success
    assert read_table(made.layout.table("cells_fine")).equals(other)
    assert {asset: set(checks) for asset, checks in outcomes(result).items()} == {
        **CHECKS,
        "cells_fine": set(OF_EVERY_PARTITIONING),
    }
    places = read_table(made.layout.table("photo_metadata"))
    places = places.filter(pc.equal(places["photo_set"], "world_train"))
    labels = assign_classes(places["latitude"].to_numpy(), places["longitude"].to_numpy(), other)
    told = made.latest("cells_fine").metadata
    assert told["photos_kept"].value == (labels >= 0).sum()
    assert told["photos_left_out"].value == (labels < 0).sum()


def test_a_damaged_table_is_refused_unless_its_repair_is_asked_for_and_then_told(
    made: Project, write_profile: WriteProfile, tmp_path: Path
) -> None:
    fine, path = read_table(made.layout.table("cells_fine")), tmp_path / "fine.csv"
    write_cells_csv(path, fine)
    rows = path.read_text("utf-8").splitlines()
    tokens = [row.split(",")[1] for row in rows]
    line, token = next((k, each) for k, each in enumerate(tokens) if each.isdecimal() and not each.startswith("0"))
    shown = f"{int(token)}.0"
    path.write_text("\n".join([*rows[:line], rows[line].replace(token, shown, 1), *rows[line + 1 :]]) + "\n", "utf-8")
    write_profile(partitionings__fine={"csv": str(path)})
    assert f"hex_id '{shown}'" in failure(made.run("model", "cells_fine"))
    write_profile(partitionings__fine={"csv": str(path), "repair": True})
    assert made.run("model", "cells_fine").success
    assert read_table(made.layout.table("cells_fine")).equals(fine)
    told = made.latest("cells_fine").metadata
    assert told["repaired_tokens"].value == 1
    assert str(told["repairs"].value).splitlines() == [
        "| line | damaged | token |", "| --- | --- | --- |", f"| {line + 1} | {shown} | {token} |"
    ]  # fmt: skip


def test_only_a_partitioning_made_here_is_held_to_the_settings(made: Project) -> None:
    cells = read_table(made.layout.table("cells_coarse"))
    nowhere = np.array([0.0]), np.array([0.0])
    assert partitioning_problems(cells, None, nowhere).keys() == OF_EVERY_PARTITIONING.keys()
    source = made.profile.partitionings["coarse"]
    problems = partitioning_problems(cells, source, nowhere)  # type: ignore[arg-type]
    assert problems.keys() == MADE.keys()
    assert len(problems["counts_are_those_of_the_photos"]) == cells.num_rows
