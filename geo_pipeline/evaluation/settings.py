"""The part of a profile that says how answers are made from the network's outputs and how they are measured.

Here lives the pydantic model only; nothing heavier is imported.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class EvaluationSettings(BaseModel):
    """Crops, their combination, and the statistics (paper, section 4)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crops: Literal[1, 5, 10] = Field(
        default=5, description="views of a photo: centre (1), with the corners (5), with their mirror images (10)"
    )
    combine: Literal["max", "mean"] = Field(
        default="max", description="how the probabilities of the crops become one: the largest, or their mean"
    )
    rules: tuple[Literal["mass25", "mass200", "mass750"], ...] = Field(
        default=(),
        description="answers beside f*: the point with the most probability within so many km",
    )
    radii_km: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        default=(1, 25, 200, 750, 2500),
        min_length=1,
        description="an answer counts within a radius when it is at most so far off, km",
    )
    bootstrap_samples: int = Field(default=1000, ge=100, description="resamplings behind each 95 % interval")
    seed: int = Field(default=0, ge=0, description="seed of the resampling: the same table gives the same intervals")

    @model_validator(mode="after")
    def _radii_ascend(self) -> Self:
        if list(self.radii_km) != sorted(set(self.radii_km)):
            raise ValueError(f"radii_km must ascend, each once; found {list(self.radii_km)}")
        return self
