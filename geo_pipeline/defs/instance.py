"""Opening the profile's Dagster instance, with a clear word where that cannot work.

The one idea: Dagster's databases carry the revision of their schema; one that this Dagster does not know was written
by a newer one, and nothing may touch it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

import dagster as dg

from geo_pipeline.errors import InputError
from geo_pipeline.profile import Layout


@contextmanager
def open_instance(layout: Layout) -> Iterator[dg.DagsterInstance]:
    """The instance of `DAGSTER_HOME`, which must be the profile's. Raises InputError if a newer Dagster wrote it."""
    _check_revisions(layout.dagster_home)
    with dg.DagsterInstance.get() as instance:
        yield instance


def _check_revisions(home: Path) -> None:
    """Raise InputError if a database has a schema that this Dagster does not know."""
    for database in [*home.glob("*/*.db"), *home.glob("history/runs/index.db")]:
        unknown = _revisions(database) - _known_revisions()
        if unknown:
            raise InputError(
                f"{database}: written by a newer Dagster than the installed {version('dagster')} (schema "
                f"{', '.join(sorted(unknown))}); set the environment up with the requirements.lock that it was made "
                "with, or point GEO_PIPELINE_HOME at another folder; nothing was changed"
            )


def _revisions(database: Path) -> set[str]:
    """The schema revisions that a SQLite database names; none if it has no such table."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return {str(row[0]) for row in connection.execute("select version_num from alembic_version")}
        except sqlite3.OperationalError:
            return set()


@cache
def _known_revisions() -> set[str]:
    """The revisions that the installed Dagster's migrations declare."""
    versions = Path(dg.__file__).parent / "_core" / "storage" / "alembic" / "versions"
    texts = (path.read_text(encoding="utf-8") for path in versions.glob("*.py"))
    return {found for text in texts for found in re.findall(r"^revision\b[^=]*= \"(\w+)\"", text, re.MULTILINE)}
