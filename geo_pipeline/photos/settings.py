"""The settings of photo sets: the `photo_sets` section of a profile."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Role(StrEnum):
    """What a photo set is for."""

    TRAIN = "train"
    VALIDATION = "validation"
    BENCHMARK = "benchmark"


class PhotoSetSettings(BaseModel):
    """One photo set: its role and the files that list it. Paths are relative to the profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role = Field(description="train, validation or benchmark")
    title: str | None = Field(default=None, description="name in reports; default: the key of the set")
    url_csv: Path | None = Field(default=None, description="CSV `image_id,url`, with or without header")
    image_dir: Path | None = Field(default=None, description="folder of pictures, instead of url_csv")
    metadata_csv: Path = Field(description="CSV with at least IMG_ID,LAT,LON")
    buckets: int = Field(default=1, ge=1, lt=100, description="number of buckets, the unit of crawling")
    max_photos: int | None = Field(default=None, ge=1, description="keep so many photos, chosen by a hash of the id")
    publisher: str | None = Field(default=None, description="where its publishers put the files, for error messages")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.url_csv is None) == (self.image_dir is None):
            raise ValueError("give either url_csv or image_dir, and not both")
        return self
