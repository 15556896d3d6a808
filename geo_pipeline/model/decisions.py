"""From what a network believes to what it answers.

Here live the choice of a cell for each `p_key`, the rules that choose by the probability around a point instead of in
one cell, and how sure each answer is. Not here: the beliefs (calibration.py) and answers that are areas (areas.py).
The one idea: f* is what the papers compare, so a rule adds rows of its own and never takes the place of any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geo_pipeline.model.calibration import Beliefs
from geo_pipeline.model.geography import HIERARCHY, Geography
from geo_pipeline.model.places import Places, mass_within
from geo_pipeline.model.settings import CONFIDENCE_RADIUS_KM, RULES_KM

NUM_CENTRES = 100
"""So many of the most probable cells are tried as the centre."""

NUM_AROUND = 1000
"""So many of the most probable cells count as what lies around it."""


@dataclass(frozen=True)
class Decision:
    """The answers for n photos.

    `class_labels`: int64[n]; `probabilities`: float64[n] of the cell in its own distribution; `confidences`:
    float64[n], the probability by f* that the truth lies within the radius of the answer.
    """

    class_labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    confidences: npt.NDArray[np.float64]


def rule_key(rule: str) -> str:
    """The `p_key` of a rule's answers, whose class labels are those of the finest partitioning."""
    return f"{HIERARCHY}_{rule}"


class Decider:
    """Chooses the answers of a network whose cells are those of a geography.

    `rules`: names of `RULES_KM` to answer by beside f*; `radius_km`: of the confidences.
    """

    def __init__(
        self,
        geography: Geography,
        device: torch.device,
        rules: Sequence[str] = (),
        radius_km: float = CONFIDENCE_RADIUS_KM,
    ) -> None:
        self._rules, self._radius_km = tuple(rules), radius_km
        self._places = {p_key: Places.of(geography.partitioning_of(p_key), device) for p_key in geography.p_keys}

    def decide(self, beliefs: Beliefs) -> dict[str, Decision]:
        """The answers by `p_key`: each partitioning, f*, then the rules."""
        finest, cells = beliefs.distributions[HIERARCHY], self._places[HIERARCHY]
        labels = {p_key: scores.argmax(dim=1) for p_key, scores in beliefs.scores.items()}
        chosen = {p_key: beliefs.distributions[p_key].gather(1, best[:, None])[:, 0] for p_key, best in labels.items()}
        points = {p_key: self._places[p_key].vectors[best] for p_key, best in labels.items()}
        for rule in self._rules:
            best = centre(finest, cells, RULES_KM[rule])
            labels[rule_key(rule)], points[rule_key(rule)] = best, cells.vectors[best]
            chosen[rule_key(rule)] = finest.gather(1, best[:, None])[:, 0]
        answers = torch.stack(list(points.values()), dim=1)
        confidences = mass_within(beliefs.within(self._radius_km), answers, cells, self._radius_km)
        return {
            p_key: Decision(_numpy(labels[p_key]), _numpy(chosen[p_key].double()), _numpy(confidences[:, k].double()))
            for k, p_key in enumerate(labels)
        }


def centre(distribution: Tensor, cells: Places, radius_km: float) -> Tensor:
    """int64[n]: of the most probable cells (`NUM_CENTRES`) the one with the most probability within `radius_km`.

    distribution: float32[n, classes]; cells: the places of all classes. Of equals the more probable one.
    """
    shares, labels = distribution.topk(min(NUM_AROUND, distribution.shape[1]), dim=1)
    around = mass_within(shares, cells.vectors[labels[:, :NUM_CENTRES]], cells[labels], radius_km)
    return labels.gather(1, around.argmax(dim=1, keepdim=True))[:, 0]


def _numpy(values: Tensor) -> npt.NDArray[Any]:
    return values.cpu().numpy()
