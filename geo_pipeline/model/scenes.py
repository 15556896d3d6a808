"""Scene networks at work, ISN(M, f*, S3): which network answers for a photo.

Not here: training them (geo_pipeline.training.scenes). The one idea: a scene network is a network like any other, so
whoever has picked one for each photo predicts as always. Importing this imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.errors import InputError

UNKNOWN = -1
"""The scene of a photo of which no scene's probability is known."""


def probability_column(scene: str) -> str:
    """The column of a scene's probability in tables of photos."""
    return f"probability_{scene}"


def pick_scene(photos: pa.Table, scenes: Sequence[str]) -> npt.NDArray[np.int64]:
    """The most probable scene of each photo, int64[n]: its place in `scenes`, the first of equals; -1 if none is known.

    `photos` has a column `probability_<scene>` for each scene. Source: Müller-Budack et al. 2018, section 3.1.
    """
    missing = [name for name in map(probability_column, scenes) if name not in photos.column_names]
    if missing or not scenes:
        raise InputError(f"the photos have no column {', '.join(missing)}; they have {', '.join(photos.column_names)}")
    columns = [photos[probability_column(scene)].to_numpy().astype(np.float64) for scene in scenes]
    probabilities = np.nan_to_num(np.stack(columns, axis=1), nan=-np.inf)
    return np.where(np.isneginf(probabilities).all(axis=1), UNKNOWN, probabilities.argmax(axis=1))
