from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import dagster as dg
import pytest
import yaml

from geo_pipeline.cli import main
from geo_pipeline.profile import PROJECT_FOLDER
from geo_pipeline.store import read_table
from geo_pipeline_tests.command_line import geo_pipeline, run_statuses, started, wait_until
from geo_pipeline_tests.conftest import profile_writer
from geo_pipeline_tests.planning.made_up import write_lists

BEFORE_TRAINING = 'not key:"geo_model"+'
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A data folder of the test's own; what the command sets is undone."""
    monkeypatch.setenv("GEO_PIPELINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GEO_PIPELINE_PROFILE", "")
    monkeypatch.setenv("DAGSTER_HOME", "")


@dataclass(frozen=True)
class Made:
    """A data folder that two commands have filled, and what they said."""

    home: Path
    profile: Path
    dry: CompletedProcess[str]
    files_after_dry: set[str]
    runs_after_dry: list[dg.DagsterRunStatus]
    first: CompletedProcess[str]

    def run(self, *arguments: str) -> CompletedProcess[str]:
        return geo_pipeline(self.home, "--profile", str(self.profile), *arguments)


@pytest.fixture(scope="module")
def made(small_world: tuple[Path, int], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Everything before the training, made once; tests that change something take a copy."""
    folder = tmp_path_factory.mktemp("made")
    home, profile = folder / "home", profile_writer(small_world, folder / "small.yaml")()
    command = ["--profile", str(profile), "materialize", "--stale", BEFORE_TRAINING]
    dry = geo_pipeline(home, *command, "--dry-run")
    files, runs = {path.name for path in (home / "small").iterdir()}, run_statuses(home)
    return Made(home, profile, dry, files, runs, geo_pipeline(home, *command))


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    """A copy of the made home, in the place that `main` uses."""
    return shutil.copytree(made.home, tmp_path / "home")


def test_install_puts_the_projects_settings_into_the_profiles_dagster_home(
    write_profile: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--profile", str(write_profile()), "install"]) == 0
    home = Path(capsys.readouterr().out.strip())
    assert home == tmp_path / "home" / "small" / "dagster"
    assert (home / "dagster.yaml").read_bytes() == (PROJECT_FOLDER / "resources" / "dagster.yaml").read_bytes()


def test_check_describes_a_good_profile(write_profile: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", str(write_profile()), "check"]) == 0
    assert "world_300: benchmark, 1 buckets" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crawl__concurency": 3}, "crawl.concurency: unknown key; did you mean concurrency?"),
        ({"photo_sets__world_train__url_csv": "absent.csv"}, "URL list, a CSV `image_id,url`"),
        ({"training": "absent.yml"}, "absent.yml"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    write_profile: Callable[..., Path], capsys: pytest.CaptureFixture[str], changes: dict[str, object], words: str
) -> None:
    assert main(["--profile", str(write_profile(**changes)), "check"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("geo-pipeline: ")
    assert words in message
    assert "Traceback" not in message


def test_wrong_arguments_are_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["materialise"])
    assert exit_.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["materialize", "--stail"], "unknown argument --stail; did you mean --stale?"),
        (["plan", "--jsn=1"], "unknown argument --jsn; did you mean --json?"),
        (["status", "--profile", "ci"], "unknown argument --profile; it goes before the command"),
        (["check", "xyz"], "unknown argument xyz"),
        (["init"], "required: --name"),
    ],
)
def test_a_wrong_option_is_exit_code_2_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith(words)


def test_accuracy_before_any_run_says_what_to_do(
    write_profile: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--profile", str(write_profile()), "accuracy"]) == 2
    assert "materialize the asset that makes it first" in capsys.readouterr().err


def test_materialize_makes_what_is_selected_and_shows_each_step(
    write_profile: Callable[..., Path], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    run = geo_pipeline(home, "--profile", str(write_profile()), "materialize", "key:photo_metadata or key:cells_coarse")
    assert run.returncode == 0, run.stderr
    assert "cells_coarse done in" in run.stderr
    assert (home / "small" / "tables" / "cells_coarse.parquet").exists()
    assert not (home / "small" / "tables" / "cells_fine.parquet").exists()


def test_a_step_that_fails_for_a_users_mistake_is_exit_code_2(
    write_profile: Callable[..., Path], tmp_path: Path
) -> None:
    profile = write_profile(partitionings__coarse__img_min=150)
    run = geo_pipeline(tmp_path / "home", "--profile", str(profile), "materialize", "key:photo_metadata")
    assert run.returncode == 2
    assert "img_min no smaller than the coarser one" in run.stderr
    unknown = geo_pipeline(tmp_path / "home", "--profile", str(write_profile()), "materialize", "cells_fin")
    assert unknown.returncode == 2
    assert "cells_fine" in unknown.stderr
    assert "Traceback" not in unknown.stderr
    several = write_profile(photo_sets__world_train__metadata_csv="absent.csv")
    failed = geo_pipeline(tmp_path / "home", "--profile", str(several), "materialize", "key:photo_metadata")
    assert failed.returncode == 2
    assert "photo_metadata FAILED" in failed.stderr
    assert "absent.csv: metadata, a CSV with a header that has at least IMG_ID,LAT,LON" in failed.stderr


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(made: Made) -> None:
    assert made.dry.returncode == 0, made.dry.stderr
    assert "run 1 (job crawl), 5 buckets" in made.dry.stdout
    assert "missing: never made" in made.dry.stdout
    assert made.runs_after_dry == []
    assert made.files_after_dry == {"dagster", "observed.json"}


def test_materialize_closes_with_a_table_of_what_was_made(made: Made) -> None:
    assert made.first.returncode == 0, made.first.stderr
    rows = {line.split()[0]: line for line in made.first.stdout.splitlines()}
    assert "5 of 5 buckets made" in rows["photo_shards"]
    assert all("made" in rows[asset] for asset in ("photo_manifest", "cells_fine", "training_photos"))
    assert rows["photo_manifest"].endswith("passed")
    assert "geo_model" not in rows
    assert read_table(made.home / "small" / "tables" / "training_photos.parquet").num_rows > 0


def test_what_is_fresh_is_left_alone(made: Made) -> None:
    runs = run_statuses(made.home)
    again = made.run("materialize", "--stale", BEFORE_TRAINING)
    assert again.returncode == 0, again.stderr
    header, *rows = again.stdout.splitlines()
    assert header.split()[0] == "asset"
    assert len(rows) == 11
    assert all(row.split()[1:] == ["fresh"] for row in rows)
    assert run_statuses(made.home) == runs
    assert "nothing to do" in made.run("materialize", "--stale", "--dry-run", "cells_fine").stdout


def test_status_tells_every_asset_and_bucket_as_text_and_as_json(made: Made) -> None:
    told = json.loads(made.run("status", "--json").stdout)
    assert told["profile"] == "small"
    assert told["problems"] == []
    states = {(place["asset"], place["bucket"]): place["state"] for place in told["places"]}
    assert states["photo_shards", "world_train-001"] == "fresh"
    assert [asset for (asset, _), state in states.items() if state == "missing"] == [
        "geo_model",
        "calibration",
        "benchmark_predictions",
        "benchmark_accuracy",
        "report",
    ]
    text = made.run("status").stdout
    assert "5 fresh" in text
    assert "5 of 16 assets are not up to date" in text


def test_an_unknown_bucket_is_exit_code_2_with_the_nearest_one(made: Made) -> None:
    unknown = made.run("materialize", "--bucket", "world_trian-000")
    assert unknown.returncode == 2
    assert unknown.stderr == "geo-pipeline: no bucket is called 'world_trian-000'; did you mean world_train-000?\n"


def test_a_selection_may_stand_before_or_after_the_buckets(made: Made) -> None:
    wanted = "run 1 (job crawl), 2 buckets\n  photo_shards  fresh, made again as asked\n"
    buckets = ["--bucket", "world_train-001", "world_300-000"]
    assert made.run("materialize", "--dry-run", *buckets, "photo_shards").stdout == wanted
    assert made.run("materialize", "--dry-run", "photo_shards", *buckets).stdout == wanted


@pytest.mark.slow
def test_only_the_given_bucket_is_made(write_profile: Callable[..., Path], tmp_path: Path) -> None:
    home, command = tmp_path / "home", ["--profile", str(write_profile()), "materialize"]
    bucket = geo_pipeline(home, *command, "--bucket", "world_1k-000", "url_lists,photo_shards")
    assert bucket.returncode == 0, bucket.stderr
    assert [path.name for path in (home / "small" / "shards").glob("*/*-*")] == ["world_1k-000"]
    assert [path.stem for path in (home / "small" / "tables" / "url_lists").iterdir()] == ["world_1k-000"]


def test_a_failure_that_is_no_mistake_of_the_users_is_exit_code_1_with_the_command_to_try_again(
    made: Made, copied: Path
) -> None:
    table = copied / "small" / "tables" / "photo_metadata.parquet"
    table.write_bytes(flipped(table.read_bytes()))
    failed = geo_pipeline(copied, "--profile", str(made.profile), "materialize", "key:cells_coarse or key:cells_fine")
    assert failed.returncode == 1
    assert "cells_coarse  FAILED" in failed.stdout
    assert "cells_coarse failed: " in failed.stderr
    retry = """geo-pipeline --profile small materialize --stale 'key:"cells_coarse"+ or key:"cells_fine"+'"""
    assert failed.stderr.rstrip().endswith(retry)
    assert "Traceback" not in failed.stderr
    assert run_statuses(copied)[0] is FAILURE


def flipped(content: bytes) -> bytes:
    """The same file with other bytes in its first pages; its beginning and its end are whole."""
    return content[:8] + bytes(byte ^ 0xFF for byte in content[8:2000]) + content[2000:]


def test_migrate_buckets_moves_the_photos_and_names_the_next_command(
    write_profile: Callable[..., Path], capsys: pytest.CaptureFixture[str], copied: Path
) -> None:
    profile = str(write_profile(photo_sets__world_train__buckets=3))
    assert main(["--profile", profile, "plan"]) == 2
    assert "`geo-pipeline --profile small migrate-buckets`" in capsys.readouterr().err
    assert main(["--profile", profile, "migrate-buckets"]) == 0
    told = capsys.readouterr().out
    assert "world_train: 60 photos in 3 buckets\n" in told
    assert "next: geo-pipeline --profile small materialize --stale" in told
    assert len(list((copied / "small" / "shards" / "world_train").glob("world_train-*"))) == 3
    assert main(["--profile", profile, "migrate-buckets"]) == 0
    assert capsys.readouterr().out == "nothing to move\n"
    assert main(["--profile", profile, "plan"]) == 0


def test_plan_counts_what_is_due_before_and_after_the_crawl(
    made: Made, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--profile", str(made.profile), "plan", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert not (tmp_path / "home").exists()
    monkeypatch.setenv("GEO_PIPELINE_HOME", str(made.home))
    assert main(["--profile", str(made.profile), "plan", "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert (before["total"]["listed"], before["total"]["due_now"], before["total"]["stored"]) == (100, 100, 0)
    assert (after["total"]["listed"], after["total"]["due_now"]) == (100, 0)
    assert after["total"]["stored"] > 90
    assert main(["--profile", str(made.profile), "plan"]) == 0
    assert "world_validation" in capsys.readouterr().out


def test_init_writes_a_profile_that_passes_check_and_is_never_written_over(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lists = write_lists(tmp_path / "given", 900)
    output = tmp_path / "mine.yaml"
    given = ["--url-csv", str(lists.urls), "--metadata-csv", str(lists.metadata), "--output", str(output)]
    assert main(["init", "--name", "mine", *given]) == 0
    assert str(output) in capsys.readouterr().out
    assert yaml.safe_load(output.read_text("utf-8"))["name"] == "mine"
    assert main(["--profile", str(output), "check"]) == 0
    written = output.read_text("utf-8")
    assert main(["init", "--name", "mine", *given]) == 2
    assert f"{output}: exists already and is not written over" in capsys.readouterr().err
    assert output.read_text("utf-8") == written


@pytest.mark.slow
def test_two_profiles_at_once_keep_their_files_and_histories_apart(
    small_world: tuple[Path, int], tmp_path: Path
) -> None:
    training = yaml.safe_load((PROJECT_FOLDER / "resources" / "training" / "ci.yml").read_text("utf-8"))
    training["trainer_params"]["max_epochs"] = 1
    (tmp_path / "training.yml").write_text(yaml.safe_dump(training), encoding="utf-8")
    home, config = tmp_path / "home", str(tmp_path / "training.yml")
    for name, buckets in (("one", 2), ("two", 3)):
        write = profile_writer(small_world, tmp_path / f"{name}.yaml")
        write(name=name, training=config, photo_sets__world_train__buckets=buckets, checks={"min_ok_percent": 50})
    command = ["materialize", "--stale"]
    with (
        started(home, "--profile", str(tmp_path / "one.yaml"), *command) as one,
        started(home, "--profile", str(tmp_path / "two.yaml"), *command) as two,
    ):
        for process in (one, two):
            output, _ = process.communicate(timeout=400)
            assert process.returncode == 0, output
    assert {path.name for path in home.iterdir()} == {"one", "two"}
    for name, buckets in (("one", 2), ("two", 3)):
        assert run_statuses(home, name) == [SUCCESS, SUCCESS]
        assert len(list((home / name / "shards" / "world_train").glob("world_train-*"))) == buckets
        assert str(home / name) in (home / name / "models" / "base" / "job.json").read_text("utf-8")
        report, map_of_cells = (home / name / "reports" / file for file in ("report.html", "cells.html"))
        assert f'<a href="{map_of_cells.name}">' in report.read_text("utf-8")
        assert f"<title>{name}: S2 cells: " in map_of_cells.read_text("utf-8")


@pytest.mark.slow
def test_the_second_command_of_a_profile_says_who_is_at_it_and_waits_or_gives_up(
    write_profile: Callable[..., Path], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    lock = home / "small" / "materialize.lock"
    command = ["--profile", str(write_profile()), "materialize", "--stale", BEFORE_TRAINING]
    with started(home, *command) as first:
        wait_until(lambda: lock.exists() and lock.read_text("utf-8") != "", 60)
        with started(home, *command, "--no-wait") as impatient, started(home, *command) as patient:
            given_up, _ = impatient.communicate(timeout=100)
            waited, _ = patient.communicate(timeout=200)
        made, _ = first.communicate(timeout=10)
    assert (first.returncode, impatient.returncode, patient.returncode) == (0, 1, 0), (made, given_up, waited)
    assert f"this profile is being materialized by process {first.pid} on " in given_up
    assert f"small is being materialized by process {first.pid} on " in waited
    assert "waiting (Ctrl-C to stop)" in waited
    rows = [line.split() for line in waited.splitlines() if line.startswith(("photo_", "cell", "training"))]
    assert [row[1] for row in rows] == ["fresh"] * len(rows)
    assert rows
    assert run_statuses(home) == [SUCCESS, SUCCESS]
