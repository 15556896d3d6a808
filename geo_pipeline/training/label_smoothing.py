"""Label smoothing by distance: a cell near the true one is less wrong than one on another continent.

Here live the soft targets that a head learns instead of a single class. The one idea: a target is a probability
exp(-d / tau) over cells, made for one batch on its device and forgotten; a table of all pairs of cells would take
665 MB for 12,893 of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from geo_pipeline.cells.distance import EARTH_RADIUS_KM
from geo_pipeline.errors import InputError
from geo_pipeline.model.geography import Geography
from geo_pipeline.training.loss import NO_LABEL


class LabelSmoothing(nn.Module):
    """Soft targets of the heads that have a tau; it keeps the cells' mean points as buffers that no checkpoint holds.

    `tau_km`: kilometres by partitioning, heads without one learn their labels. Raises InputError for a partitioning
    that the geography does not have.
    """

    def __init__(self, geography: Geography, tau_km: Mapping[str, float]) -> None:
        super().__init__()
        unknown = sorted(tau_km.keys() - set(geography.names))
        if unknown:
            raise InputError(
                f"model_params.label_smoothing_km: found {', '.join(unknown)}, expected {', '.join(geography.names)}"
            )
        self._tau_km = [tau_km.get(name) for name in geography.names]
        for head, cells in enumerate(geography.partitionings):
            if self._tau_km[head] is not None:
                points = torch.from_numpy(unit_vectors(cells.latitudes, cells.longitudes))
                self.register_buffer(f"points_{head}", points, persistent=False)

    def forward(self, labels: Tensor) -> list[Tensor | None]:
        """int64[n, heads] -> float32[n, classes] for each head that is smoothed, None for the others."""
        return [
            None if tau is None else soft_targets(self.get_buffer(f"points_{head}"), labels[:, head], tau)
            for head, tau in enumerate(self._tau_km)
        ]


def unit_vectors(latitudes: npt.NDArray[np.float64], longitudes: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Points on the unit sphere, float32[n, 3], from degrees (float64[n])."""
    phi, theta = np.radians(latitudes), np.radians(longitudes)
    vectors = [np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)]
    return np.stack(vectors, axis=1).astype(np.float32)


def soft_targets(points: Tensor, labels: Tensor, tau_km: float) -> Tensor:
    """The probabilities that a head shall learn, float32[n, classes]; zeros where a photo has no label.

    Proportional to exp(-d / tau_km), d the great-circle distance in kilometres from the mean point of the true cell to
    that of each cell; as tau_km goes to 0 they become the labels. points: float32[classes, 3], unit vectors; labels:
    int64[n], -1 for none. Source: Haas et al. 2023, PIGEON, equation 2, which measures from the photo itself (and
    normalises by the true cell's distance, which cancels here); tau 65 to 75 km there.
    """
    labelled = labels != NO_LABEL
    distances = distances_km(points[labels.clamp(min=0)], points)
    return torch.softmax(distances / -tau_km, dim=1) * labelled.unsqueeze(1)


def distances_km(from_points: Tensor, to_points: Tensor) -> Tensor:
    """Great-circle distances float32[n, m] in kilometres between unit vectors float32[n, 3] and float32[m, 3].

    From the length of the chord, by differences and not by a matrix product: exact to a metre for cells side by side,
    where the arc cosine of a float32 is wrong by kilometres.
    """
    chords = torch.cdist(from_points, to_points, compute_mode="donot_use_mm_for_euclid_dist")
    return 2 * EARTH_RADIUS_KM * torch.asin((chords / 2).clamp(max=1))
