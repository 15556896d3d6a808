"""Settings of the bundled world, as a profile gives them. Importing this costs no more than pydantic."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_PORT = 8731
"""The port in the URLs of the committed lists."""


class WorldSettings(BaseModel):
    """Where the photo server of the bundled world listens and which lists it serves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int = Field(
        DEFAULT_PORT, ge=1024, le=65535, description="Port on 127.0.0.1; the URLs of the lists must carry the same."
    )
    lists: Path = Field(description="Folder that `python -m geo_pipeline.world make-lists` wrote.")
