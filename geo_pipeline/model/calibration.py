"""Honest probabilities: a temperature for each head, and the distributions that it gives.

Here lives what a calibration is, its file beside the checkpoint, and applying it. Not here: fitting one
(evaluation.calibration). The one idea: a temperature divides logarithms of probabilities, so it changes how sure an
answer is and never which answer it is (Guo et al. 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
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


class Calibration(BaseModel):
    """Temperatures by `p_key`, and what they were fitted for: one checkpoint, one way of combining crops."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint_sha256: str = Field(description="of the checkpoint whose network was calibrated")
    crops: NumCrops = Field(description="crops of each photo when it was fitted")
    combine: Combine = Field(description="how they were combined")
    temperatures: dict[str, float] = Field(description="by p_key; above 1 the network was too sure of itself")
    num_photos: int = Field(description="validation photos that it was fitted on")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises InputError for a file that is absent or no calibration."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such calibration; materialize `calibration`") from error
        except (ValidationError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a calibration of geo_pipeline; remove it or materialize it again") from error

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


def beliefs_of(
    heads: Sequence[Tensor],
    geography: Geography,
    hierarchy: Tensor,
    temperatures: Mapping[str, float] = MappingProxyType({}),
) -> Beliefs:
    """From log probabilities float32[n, classes] of each partitioning, coarse first; a missing temperature is 1.

    hierarchy: the geography's, on the device of the heads.
    """
    scores = {**dict(zip(geography.names, heads, strict=True)), HIERARCHY: hierarchical_scores(heads, hierarchy)}
    return Beliefs(scores, {key: tempered(each, temperatures.get(key, 1.0)) for key, each in scores.items()})


def tempered(scores: Tensor, temperature: float) -> Tensor:
    """float32[n, classes]: the probabilities that scores (logarithms up to a constant) have at a temperature."""
    return torch.softmax(scores / temperature, dim=1)
