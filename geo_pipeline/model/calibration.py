"""Honest probabilities: temperatures, and the distributions that they give.

Here lives what a calibration is, its file beside the checkpoint, and applying it. Not here: fitting one
(evaluation.calibration). The one idea: a temperature divides logarithms of probabilities, so it changes how sure an
answer is and never which answer it is (Guo et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from geo_pipeline.errors import InputError
from geo_pipeline.model.combination import Combine, hierarchical_scores
from geo_pipeline.model.geography import HIERARCHY, Geography
from geo_pipeline.model.preprocessing import NumCrops
from geo_pipeline.store import file_hash, write_text

FILE = "calibration.json"
"""Its name in the run folder, beside the checkpoint it belongs to."""


class HeadCalibration(BaseModel):
    """The temperature of one `p_key`, and what it changed for the photos that it was fitted on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(gt=0, description="above 1 the network was too sure of itself")
    num_photos: int = Field(description="photos with a known class")
    nll_before: float | None = Field(description="mean negative log likelihood of the true classes at temperature 1")
    nll_after: float | None = Field(description="the same at the temperature")
    ece_before: float = Field(description="expected calibration error at temperature 1, 0 to 1")
    ece_after: float = Field(description="the same at the temperature")


class Calibration(BaseModel):
    """The heads by `p_key`, and what they were fitted for: one checkpoint, one way of combining crops."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint_sha256: str = Field(description="of the checkpoint whose network was calibrated")
    crops: NumCrops = Field(description="crops of each photo when it was fitted")
    combine: Combine = Field(description="how they were combined")
    num_photos: int = Field(description="validation photos that it was fitted on")
    heads: dict[str, HeadCalibration] = Field(description="by p_key: that the answer is the true cell")
    radii_km: dict[int, HeadCalibration] = Field(
        description="f* by radius: that the truth lies so near to the answer, whatever the cell"
    )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises InputError for a file that is absent or no calibration."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such calibration; materialize `calibration`") from error
        except (ValidationError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a calibration of geo_pipeline; remove it or materialize it again") from error

    @property
    def temperatures(self) -> dict[str, float]:
        """The temperatures by `p_key`."""
        return {p_key: head.temperature for p_key, head in self.heads.items()}

    def temperature_within(self, radius_km: float) -> float:
        """The temperature of f* for probabilities within a radius: that of the radius nearest in proportion."""
        nearest = min(self.radii_km, key=lambda each: abs(math.log(each / radius_km)))
        return self.radii_km[nearest].temperature

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        write_text(path, self.model_dump_json(indent=2) + "\n")


def calibration_beside(checkpoint: Path, crops: int, combine: str) -> Calibration | None:
    """The calibration of a checkpoint for these crops, if there is one.

    None where none lies beside the checkpoint, and for one of another checkpoint or of other crops: temperatures
    depend on both. Raises InputError for a file that is no calibration.
    """
    path = checkpoint.with_name(FILE)
    if not path.exists() or not checkpoint.is_file():
        return None
    found = Calibration.read(path)
    fits = (found.crops, found.combine, found.checkpoint_sha256) == (crops, combine, file_hash(checkpoint))
    return found if fits else None


@dataclass(frozen=True)
class Beliefs:
    """What a network believes of n photos, by `p_key`.

    `scores`: float32[n, classes], logarithms up to a constant, by which cells are chosen; `distributions`:
    float32[n, classes], calibrated probabilities, rows that sum to 1.
    """

    scores: Mapping[str, Tensor]
    distributions: Mapping[str, Tensor] = field(repr=False)
    calibration: Calibration | None = None

    def within(self, radius_km: float) -> Tensor:
        """The distribution of f*, float32[n, fine classes], as calibrated for what lies within a radius."""
        if self.calibration is None:
            return self.distributions[HIERARCHY]
        return tempered(self.scores[HIERARCHY], self.calibration.temperature_within(radius_km))


def beliefs_of(
    heads: Sequence[Tensor], geography: Geography, hierarchy: Tensor, calibration: Calibration | None = None
) -> Beliefs:
    """From log probabilities float32[n, classes] of each partitioning, coarse first; uncalibrated without one.

    hierarchy: the geography's, on the device of the heads.
    """
    scores = {**dict(zip(geography.names, heads, strict=True)), HIERARCHY: hierarchical_scores(heads, hierarchy)}
    temperatures = calibration.temperatures if calibration else dict.fromkeys(scores, 1.0)
    distributions = {p_key: tempered(each, temperatures[p_key]) for p_key, each in scores.items()}
    return Beliefs(scores, distributions, calibration)


def tempered(scores: Tensor, temperature: float) -> Tensor:
    """float32[n, classes]: the probabilities that scores (logarithms up to a constant) have at a temperature."""
    return torch.softmax(scores / temperature, dim=1)
