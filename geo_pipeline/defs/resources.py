"""What assets are given when they run: the experiment, the photo server of the bundled world, the training process.

Not here: the server itself (world room) and the training itself (training room).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from geo_pipeline.defs.io_managers import ParquetIOManager
from geo_pipeline.profile import Layout, Profile
from geo_pipeline.world.settings import WorldSettings

TERMINATION_TIMEOUT_SECONDS = 120.0
"""How long a stopped training may take to save its checkpoint; a save takes a second or two."""


@dataclass(frozen=True)
class Experiment:
    """The profile of this code location and where its files lie."""

    profile: Profile
    layout: Layout


@dataclass(frozen=True)
class PhotoServer:
    """The bundled world's photo server, where the profile has one: shared by all runs, ended by its last user."""

    settings: WorldSettings | None
    log_file: Path

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Keep the server running for the length of the block; nothing to do for a profile with real URLs.

        Raises InputError if the port is held by something else.
        """
        from geo_pipeline.world.lease import world_server

        with world_server(self.settings, log_file=self.log_file) if self.settings else nullcontext():
            yield


def build_resources(experiment: Experiment) -> dict[str, object]:
    """All resources by the names that assets ask for."""
    return {
        "experiment": experiment,
        "photo_server": PhotoServer(experiment.profile.world, experiment.layout.folder / "logs" / "photo_server.log"),
        "io_manager": ParquetIOManager(experiment.layout),
        "training_process": dg.PipesSubprocessClient(termination_timeout_seconds=TERMINATION_TIMEOUT_SECONDS),
    }
