"""The part of a profile that says where a partitioning comes from.

Here live the pydantic models only (nothing heavier is imported); the rules themselves are in partitioning.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

MAX_LEVEL = 30  # of S2: a leaf cell is about a centimetre wide


class PartitioningSettings(BaseModel):
    """How to make a partitioning from the training photos (paper, section 3.1)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    img_min: int = Field(default=50, ge=0, description="a cell is kept when it holds more than this many photos")
    img_max: int = Field(ge=1, description="a cell is split while it holds more than this many photos")
    lvl_min: int = Field(default=2, ge=0, le=MAX_LEVEL, description="S2 level to start at (0: the six cube faces)")
    lvl_max: int = Field(default=MAX_LEVEL, ge=0, le=MAX_LEVEL, description="S2 level at which splitting ends")

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.img_min >= self.img_max:
            raise ValueError(f"img_min ({self.img_min}) must be smaller than img_max ({self.img_max})")
        if self.lvl_min > self.lvl_max:
            raise ValueError(f"lvl_min ({self.lvl_min}) must not be greater than lvl_max ({self.lvl_max})")
        return self


class PublishedPartitioning(BaseModel):
    """A partitioning that somebody published as a table: it keeps its own labels, counts and means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    csv: Path = Field(description="CSV file: class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean")
    repair: bool = Field(default=False, description="restore tokens that a spreadsheet damaged, where that is certain")


def _made_or_published(value: Any) -> Literal["made", "published"]:  # noqa: ANN401 (whatever stands in the profile)
    """Which of the two a profile means: it names a file or it does not."""
    named = "csv" in value if isinstance(value, dict) else isinstance(value, PublishedPartitioning)
    return "published" if named else "made"


PartitioningSource = Annotated[
    Annotated[PartitioningSettings, Tag("made")] | Annotated[PublishedPartitioning, Tag("published")],
    Discriminator(_made_or_published),
]
"""What a profile may say about a partitioning: `{img_max: …}` or `{csv: …}`."""
