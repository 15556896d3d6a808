from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from geo_pipeline.cli import main
from geo_pipeline.profile import PROJECT_FOLDER


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A data folder of the test's own; what the command sets is undone."""
    monkeypatch.setenv("GEO_PIPELINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GEO_PIPELINE_PROFILE", "")
    monkeypatch.setenv("DAGSTER_HOME", "")


def geo_pipeline(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a person runs it."""
    environment = {**os.environ, "GEO_PIPELINE_HOME": str(home)}
    command = [sys.executable, "-m", "geo_pipeline.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


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
