"""Made-up photos in shards, with labels, for measuring a whole training without anybody's data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from geo_pipeline.model.geography import Geography, Partitioning
from geo_pipeline.shards.format import ShardWriter
from geo_pipeline.store import write_table
from geo_pipeline.training.config import TrainingConfig
from geo_pipeline.training.job import TrainingJob

NAMES = ("coarse", "middle", "fine")
_DISTINCT = 200


def geography(num_classes: Sequence[int]) -> Geography:
    """So many cells of each partitioning, somewhere."""
    random = np.random.default_rng(0)
    partitionings = tuple(
        Partitioning(name, tuple(f"{k:x}1" for k in range(n)), random.uniform(-60, 70, n), random.uniform(-180, 180, n))
        for name, n in zip(NAMES, num_classes, strict=True)
    )
    return Geography(partitionings, _hierarchy(num_classes))


def _hierarchy(num_classes: Sequence[int]) -> np.ndarray:
    fine = np.arange(num_classes[-1])
    return np.stack([fine * n // num_classes[-1] for n in num_classes], axis=1)


def training_job(
    folder: Path, config: TrainingConfig, num_photos: int, side: int, num_classes: Sequence[int]
) -> TrainingJob:
    """A training over photos of about `side` x 4/3 `side` pixels: 200 pictures, each under many ids."""
    earth = geography(num_classes)
    for part in earth.partitionings:
        columns = {
            "class_label": np.arange(len(part.hex_ids), dtype=np.int32),
            "hex_id": list(part.hex_ids),
            "imgs_per_cell": np.full(len(part.hex_ids), 50),
            "latitude_mean": part.latitudes,
            "longitude_mean": part.longitudes,
        }
        write_table(folder / f"{part.name}.parquet", pa.table(columns))
    columns = {name: earth.hierarchy[:, level].astype(np.int32) for level, name in enumerate(NAMES)}
    write_table(folder / "hierarchy.parquet", pa.table(columns))
    for role, count in {"training": num_photos, "validation": min(num_photos, 500)}.items():
        write_table(folder / f"{role}.parquet", _photos(folder, role, count, side, earth))
    return TrainingJob(
        config=config,
        training_photos=folder / "training.parquet",
        validation_photos=folder / "validation.parquet",
        cells={name: folder / f"{name}.parquet" for name in NAMES},
        hierarchy=folder / "hierarchy.parquet",
        shards_root=folder,
        run_dir=folder / "run",
    )


def _photos(folder: Path, role: str, count: int, side: int, earth: Geography) -> pa.Table:
    """Write one shard; the table of its photos."""
    random = np.random.default_rng(len(role))
    pictures = [_jpeg(random, side) for _ in range(min(count, _DISTINCT))]
    with ShardWriter(folder / f"{role}.msg") as writer:
        spans = [writer.append(f"{role}-{k}", pictures[k % len(pictures)]) for k in range(count)]
    labels = earth.hierarchy[random.integers(0, len(earth.hierarchy), count)].astype(np.int32)
    offsets, lengths = np.array(spans).T
    return pa.table(
        {
            "photo_id": [f"{role}-{k}" for k in range(count)],
            "latitude": random.uniform(-60, 70, count),
            "longitude": random.uniform(-180, 180, count),
            **{name: labels[:, level] for level, name in enumerate(NAMES)},
            "shard": [f"{role}.msg"] * count,
            "offset": offsets,
            "length": lengths,
        }
    )


def _jpeg(random: np.random.Generator, side: int) -> bytes:
    """A picture with detail as photos have it: noise of several sizes."""
    size = (side * 4 // 3, side)
    layers = [
        np.asarray(
            Image.fromarray(random.integers(0, 256, (side // k + 2, side // k + 2, 3), dtype=np.uint8)).resize(
                size, Image.Resampling.BICUBIC
            ),
            dtype=np.float32,
        )
        for k in (4, 16, 64)
    ]
    stream = io.BytesIO()
    Image.fromarray(np.average(layers, axis=0, weights=(1, 2, 3)).astype(np.uint8)).save(stream, "JPEG", quality=92)
    return stream.getvalue()
