"""The rows of predictions.csv.

Here lives their form: points by `p_key`, or areas, with the details that were asked for. Not here: deciding
(decisions.py, areas.py) and writing (store.py). The one idea: an answer that was withheld is a row without values, so
that every photo and every `p_key` stands in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from geo_pipeline.model.areas import RADII_KM, Area
from geo_pipeline.model.calibration import Beliefs
from geo_pipeline.model.decisions import Decision
from geo_pipeline.model.geography import HIERARCHY, Geography

NUM_TOP = 5
_DETAILS = [("confidence", pa.float64()), ("radius_km", pa.float64()), ("top5", pa.string())]


def points_schema(*, details: bool) -> pa.Schema:
    """Columns of points: `pred_class` is a class label of the partitioning that answered."""
    return _schema(pa.int32(), details=details)


def areas_schema(*, details: bool) -> pa.Schema:
    """Columns of areas: `p_key` is the size of the area, `pred_class` its S2 token, the place its middle."""
    return _schema(pa.string(), details=details)


def point_rows(
    photo_ids: Sequence[str],
    decisions: Mapping[str, Decision],
    beliefs: Beliefs,
    geography: Geography,
    *,
    radius_km: float,
    abstain_below: float = 0.0,
    details: bool = False,
) -> pa.Table:
    """Decisions as rows, ordered by photo and then by `p_key`.

    An answer whose confidence (the probability within `radius_km` of it) is below `abstain_below` is left empty.
    """
    schema = points_schema(details=details)
    parts = []
    for p_key, decision in decisions.items():
        partitioning, labels = geography.partitioning_of(p_key), decision.class_labels
        withheld = decision.confidences < abstain_below
        columns: list[object] = [labels, partitioning.latitudes[labels], partitioning.longitudes[labels]]
        if details:
            columns += [decision.confidences, [radius_km] * len(labels), _top(p_key, beliefs, geography)]
        masks = [withheld] * 3 + [None, None, withheld]
        arrays = [pa.array(column, mask=mask) for column, mask in zip(columns, masks, strict=False)]
        names = pa.array(photo_ids, pa.string()), pa.repeat(p_key, len(labels))
        parts.append(pa.table([*names, *arrays], names=schema.names).cast(schema))
    return by_photo(parts)


def by_photo(parts: Sequence[pa.Table]) -> pa.Table:
    """Tables that each have one row for each of the same photos, as one table with the rows of a photo together."""
    rows = np.arange(len(parts) * parts[0].num_rows).reshape(len(parts), -1).T.ravel()
    return pa.concat_tables(parts).take(pa.array(rows))


def area_rows(photo_ids: Sequence[str], answers: Sequence[Sequence[Area]], *, details: bool = False) -> pa.Table:
    """Areas (ranked, of each photo) as rows, one for each photo; a photo without an area has `p_key` none."""
    records = [_area_record(photo_id, ranked) for photo_id, ranked in zip(photo_ids, answers, strict=True)]
    schema = areas_schema(details=details)
    columns = [[record[k] for record in records] for k in range(len(schema))]
    return pa.table([pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)], schema)


def _schema(of_class: pa.DataType, *, details: bool) -> pa.Schema:
    fields = [("img_id", pa.string()), ("p_key", pa.string()), ("pred_class", of_class)]
    return pa.schema([*fields, ("pred_lat", pa.float64()), ("pred_lng", pa.float64()), *(_DETAILS if details else [])])


def _top(p_key: str, beliefs: Beliefs, geography: Geography) -> list[str]:
    """The most probable cells of each photo in one text: class label, latitude, longitude, probability of each."""
    distribution = beliefs.distributions[p_key if p_key in beliefs.distributions else HIERARCHY]
    partitioning = geography.partitioning_of(p_key)
    shares, labels = (part.cpu().numpy() for part in distribution.topk(min(NUM_TOP, distribution.shape[1]), dim=1))
    places = partitioning.latitudes[labels], partitioning.longitudes[labels]
    rows = zip(*(part.tolist() for part in (labels, *places, shares)), strict=True)
    return [_ranked_text(zip(*row, strict=True)) for row in rows]


def _area_record(photo_id: str, ranked: Sequence[Area]) -> tuple[object, ...]:
    if not ranked:
        return (photo_id, "none", *[None] * 6)
    best = ranked[0]
    top = _ranked_text((each.token, each.latitude, each.longitude, each.probability) for each in ranked)
    place = best.latitude, best.longitude
    return (photo_id, best.precision, best.token, *place, best.probability, RADII_KM[best.precision], top)


def _ranked_text(cells: Iterable[tuple[object, float, float, float]]) -> str:
    return "; ".join(f"{name} {latitude:.5f} {longitude:.5f} {share:.4f}" for name, latitude, longitude, share in cells)
