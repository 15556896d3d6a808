"""Opening a Dagster instance: one that a newer Dagster wrote is refused and stays as it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from geo_pipeline.defs.history import History, Place
from geo_pipeline.defs.instance import open_instance
from geo_pipeline.errors import InputError
from geo_pipeline.profile import Layout

DATABASES = ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"]


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A profile's folder with a Dagster home of its own in which something was logged."""
    layout = Layout(tmp_path / "small")
    layout.dagster_home.mkdir(parents=True)
    (layout.dagster_home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(layout.dagster_home))
    with open_instance(layout) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("report"))
        assert instance.all_instigator_state() == []
    return layout


def stamp(database: Path, revision: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("update alembic_version set version_num = ?", [revision])


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file, without those that SQLite puts beside a database for its readers."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal")))
    return {path: path.read_bytes() for path in files}


def test_a_home_that_this_dagster_made_can_be_opened_again(layout: Layout) -> None:
    with open_instance(layout) as instance:
        assert Place("report") in History(instance).latest("report")


@pytest.mark.parametrize("name", DATABASES)
def test_a_database_of_a_newer_dagster_is_refused_and_stays_as_it_is(layout: Layout, name: str) -> None:
    database = layout.dagster_home / name
    stamp(database, "ffffffffffff")
    before = contents(layout.folder)
    with pytest.raises(InputError) as caught, open_instance(layout):
        pytest.fail("it was opened")
    message = str(caught.value)
    assert message.startswith(f"{database}: written by a newer Dagster than the installed {dg.__version__}")
    assert "schema ffffffffffff" in message
    assert "requirements.lock" in message
    assert "GEO_PIPELINE_HOME" in message
    assert contents(layout.folder) == before


def test_a_database_without_a_revision_is_none_of_a_newer_dagster(layout: Layout) -> None:
    with closing(sqlite3.connect(layout.dagster_home / "history" / "notes.db")) as connection, connection:
        connection.execute("create table notes (text)")
    with open_instance(layout) as instance:
        assert Place("report") in History(instance).latest("report")
