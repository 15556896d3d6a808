"""The two ways in which `predict` answers: by points, and by areas.

Here lives what the options make of beliefs: rows of the output, and what is drawn of a photo. Not here: deciding
(model.decisions, model.areas), the form of a row (model.prediction_rows) and drawing (evaluation.prediction_map). The
one idea: what a row does not tell is not drawn either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.model.areas import RADII_KM, Areas
from geo_pipeline.model.decisions import Decider
from geo_pipeline.model.geography import HIERARCHY
from geo_pipeline.model.prediction_rows import area_rows, areas_schema, point_rows, points_schema
from geo_pipeline.model.predictor import BatchBeliefs, Predictor

if TYPE_CHECKING:
    from geo_pipeline.evaluation.prediction_map import Belief


class Answers(Protocol):
    """A way to answer for the photos of a batch."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of all rows, with details."""
        ...

    def rows(self, photo_ids: Sequence[str], batch: BatchBeliefs) -> pa.Table:
        """The rows of a batch, with details."""
        ...

    def drawn(self, rows: pa.Table, batch: BatchBeliefs) -> Iterator[Belief | None]:
        """What a picture may show of each photo of a batch; None of a photo of which nothing is told."""
        ...


@dataclass(frozen=True)
class PointAnswers:
    """A point for each `p_key`, left empty where its confidence is below a floor."""

    predictor: Predictor
    decider: Decider
    radius_km: float
    abstain_below: float

    schema = points_schema(details=True)

    def rows(self, photo_ids: Sequence[str], batch: BatchBeliefs) -> pa.Table:
        """The rows of a batch, with details."""
        return point_rows(
            photo_ids,
            self.decider.decide(batch.beliefs),
            batch.beliefs,
            self.predictor.geography,
            radius_km=self.radius_km,
            abstain_below=self.abstain_below,
            details=True,
        )

    def drawn(self, rows: pa.Table, batch: BatchBeliefs) -> Iterator[Belief | None]:
        """The distribution of f* over its cells, and its answer."""
        tokens = self.predictor.geography.partitioning_of(HIERARCHY).hex_ids
        shares = batch.beliefs.within(self.radius_km).cpu().numpy()
        f_star = rows.filter(pc.equal(rows["p_key"], HIERARCHY)).to_pylist()
        for row, each in zip(f_star, shares, strict=True):
            yield None if row["pred_class"] is None else self._drawn(row, tokens, each)

    def _drawn(self, row: Mapping[str, Any], tokens: tuple[str, ...], shares: npt.NDArray[np.float32]) -> Belief:
        from geo_pipeline.evaluation.prediction_map import Belief

        place = f"{row['pred_lat']:.4f}, {row['pred_lng']:.4f}"
        caption = f"{row['img_id']}   {place}   {100 * row['confidence']:.0f} % within {self.radius_km:g} km"
        return Belief(tokens, shares, (row["pred_lat"], row["pred_lng"]), caption)


@dataclass(frozen=True)
class AreaAnswers:
    """The smallest permitted area for each photo whose probability reaches a floor, or none."""

    areas: Areas
    floor: float

    schema = areas_schema(details=True)

    def rows(self, photo_ids: Sequence[str], batch: BatchBeliefs) -> pa.Table:
        """The rows of a batch, with details."""
        return area_rows(photo_ids, self.areas.decide(batch.beliefs, self.floor), details=True)

    def drawn(self, rows: pa.Table, batch: BatchBeliefs) -> Iterator[Belief | None]:
        """The most probable areas of the size that is told."""
        from geo_pipeline.evaluation.prediction_map import Belief

        for row, ranked in zip(rows.to_pylist(), self.areas.decide(batch.beliefs, self.floor), strict=True):
            if not ranked:
                yield None
                continue
            sure = f"{100 * row['confidence']:.0f} % in this {row['p_key']} (about {RADII_KM[row['p_key']]} km around)"
            shares = np.array([area.probability for area in ranked])
            yield Belief(tuple(area.token for area in ranked), shares, None, f"{row['img_id']}   {sure}")
