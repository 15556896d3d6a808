"""Made-up but plausible inputs of the evaluation room: clustered places, errors from metres to continents."""

from __future__ import annotations

import hashlib
import io
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from geo_pipeline.cells.distance import great_circle_km
from geo_pipeline.cells.partitioning import make_partitionings
from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.evaluation.accuracy import accuracy_table
from geo_pipeline.evaluation.report_contents import AssetVersion, CrawlOutcome, ReportContents, SamplePhoto
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline.evaluation.surroundings import surroundings
from geo_pipeline.shards.format import ShardWriter

_CITIES = np.array(
    [
        *([51.5, 0], [48.9, 2.3], [40.7, -74], [37.8, -122.4], [35.7, 139.7], [-33.9, 151.2], [-23.5, -46.6]),
        *([41.9, 12.5], [52.5, 13.4], [19.4, -99.1], [1.3, 103.8], [28.6, 77.2], [-1.3, 36.8], [64.1, -21.9]),
        *([-18.1, 178.4], [39.7, -105]),
    ]
)
_TYPICAL_ERROR_KM = {"coarse": 420.0, "middle": 330.0, "fine": 260.0, "hierarchy": 230.0}


def places(num_places: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes around some cities."""
    rng = np.random.default_rng(seed)
    around = _CITIES[rng.integers(0, len(_CITIES), num_places)] + rng.standard_t(2, (num_places, 2)) * [2.5, 4]
    return np.clip(around[:, 0], -70, 75), (around[:, 1] + 180) % 360 - 180


def predictions(benchmark: str, num_photos: int, seed: int = 0, model: str = "base") -> pa.Table:
    rng = np.random.default_rng(seed)
    true_lat, true_lng = places(num_photos, seed)
    tables = []
    for p_key, typical_km in _TYPICAL_ERROR_KM.items():
        degrees = typical_km * rng.lognormal(0, 1.6, num_photos) / 111
        bearing = rng.uniform(0, 2 * np.pi, num_photos)
        lat = np.clip(true_lat + degrees * np.sin(bearing), -70, 78)
        lng = (true_lng + degrees * np.cos(bearing) / np.cos(np.radians(true_lat)) + 180) % 360 - 180
        columns = {
            "benchmark": [benchmark] * num_photos,
            "model": [model] * num_photos,
            "photo_id": [f"{benchmark}-{k:05d}" for k in range(num_photos)],
            "p_key": [p_key] * num_photos,
            "class_label": np.zeros(num_photos, np.int32),
            "latitude": lat,
            "longitude": lng,
            "probability": rng.uniform(0, 1, num_photos),
            "true_latitude": true_lat,
            "true_longitude": true_lng,
            "distance_km": great_circle_km(true_lat, true_lng, lat, lng),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


@cache
def cells() -> dict[str, pa.Table]:
    rules = [PartitioningSettings(img_min=10, img_max=img_max) for img_max in (600, 250, 100)]
    return dict(zip(("coarse", "middle", "fine"), make_partitionings(*places(12_000, seed=9), rules), strict=True))


def jpeg(seed: int, size: tuple[int, int] = (80, 80)) -> bytes:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (5, 5, 3), dtype=np.uint8))
    stream = io.BytesIO()
    coarse.resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def stored_pictures(shard: Path, count: int, seed: int, size: tuple[int, int] = (64, 64)) -> pa.Table:
    """A shard of different pictures; `photo_id, image_sha256, shard, offset, length` of each."""
    ids, pictures = [f"{seed}-{k}" for k in range(count)], [jpeg(100 * seed + k, size) for k in range(count)]
    with ShardWriter(shard) as writer:
        spans = [writer.append(*each) for each in zip(ids, pictures, strict=True)]
    offsets, lengths = zip(*spans, strict=True)
    hashes = [hashlib.sha256(picture).hexdigest() for picture in pictures]
    columns = {"photo_id": ids, "image_sha256": hashes, "shard": [shard.name] * count}
    return pa.table({**columns, "offset": list(offsets), "length": list(lengths)})


def samples(table: pa.Table, num_samples: int) -> list[SamplePhoto]:
    rows = [row for row in table.to_pylist() if row["p_key"] == "hierarchy"][:num_samples]
    names = ("benchmark", "photo_id", "true_latitude", "true_longitude", "latitude", "longitude", "distance_km")
    return [SamplePhoto(jpeg=jpeg(k), **{name: row[name] for name in names}) for k, row in enumerate(rows)]


def known_surroundings(table: pa.Table) -> pa.Table:
    """Surroundings of the photos of predictions, near 500 training photos."""
    answers = table.filter(pc.equal(table["p_key"], "hierarchy"))
    made = []
    for benchmark in dict.fromkeys(answers["benchmark"].to_pylist()):
        of_it = answers.filter(pc.equal(answers["benchmark"], benchmark))
        rng = np.random.default_rng(of_it.num_rows)
        scenes = {f"probability_{name}": rng.uniform(0, 1, of_it.num_rows) for name in ("indoor", "natural", "urban")}
        places_of_it = {"latitude": of_it["true_latitude"], "longitude": of_it["true_longitude"]}
        lat, lng = places(500, seed=4)
        photos = pa.table({"photo_id": of_it["photo_id"], **places_of_it, **scenes})
        made.append(surroundings(benchmark, photos, pa.table({"latitude": lat, "longitude": lng})))
    return pa.concat_tables(made)


def metrics(num_epochs: int) -> list[dict[str, object]]:
    return [
        {
            "epoch": epoch,
            "train": {"loss": 5 + 12 * 0.7**epoch, "fine": 2 + 5 * 0.7**epoch},
            "validation": {"loss": 6.5 + 10 * 0.7**epoch},
            "learning_rate": 0.01,
            "accuracy": {"hierarchy": {str(r): top * (1 - 0.6**epoch) for r, top in ((25, 12), (200, 55), (750, 86))}},
        }
        for epoch in range(1, num_epochs + 1)
    ]


def contents(num_photos: int = 300) -> ReportContents:
    both = pa.concat_tables([predictions("world_1k", num_photos), predictions("world_300", num_photos // 3, seed=1)])
    outcomes = [
        (
            "world_train",
            {"ok": 11_463, "not_found": 241, "placeholder": 118, "truncated": 72, "throttled": 61, "gone": 45},
        ),
        ("world_validation", {"ok": 1_436, "not_found": 31, "placeholder": 16, "truncated": 9, "timeout": 8}),
        ("world_1k", {"ok": 962, "not_found": 20, "placeholder": 11, "redirect_error": 7}),
        ("world_300", {"ok": 300}),
    ]
    return ReportContents(
        title="The bundled world",
        description="Views of the Earth from NASA's Blue Marble at places of MP-16 photos; no benchmark place lies"
        " within 25 km of a training place.",
        accuracy=accuracy_table(both, EvaluationSettings()),
        predictions=both,
        cells=cells(),
        samples=[*samples(both, 8), *samples(predictions("world_300", 4, seed=1), 4)],
        outcomes=[CrawlOutcome(name, status, n) for name, counts in outcomes for status, n in counts.items()],
        metrics=metrics(9),
        surroundings=known_surroundings(both),
        versions=[AssetVersion("geo_model", "3f0c9a5d2be14c77", "8f1e.77aa", "2030-01-02 03:04 UTC")],
        provenance={
            "profile": "world",
            "code version": "0.1.0",
            "model": "base, trained 2030-01-02 03:04 UTC",
            "data version of training_photos": "3f0c9a5d2be14c7788a1f2d90e6b4c35",
        },
    )
