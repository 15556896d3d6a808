"""A made-up earth for the tests of model and training: four fine cells in two coarse ones, a colour for each."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from geo_pipeline.model.calibration import Calibration, HeadCalibration
from geo_pipeline.model.geography import Geography
from geo_pipeline.shards.format import ShardWriter

COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [200, 200, 40]])
LATITUDES = np.array([10.0, 12.0, -30.0, -34.0])
LONGITUDES = np.array([5.0, 9.0, 100.0, 110.0])
PARENTS = np.array([0, 0, 1, 1])


def cells() -> dict[str, pa.Table]:
    """Coarse, middle and fine cells; middle is as fine."""
    fine = cell_table(LATITUDES, LONGITUDES)
    coarse = cell_table(np.array([11.0, -32.0]), np.array([7.0, 105.0]))
    return {"coarse": coarse, "middle": fine, "fine": fine}


def cell_table(latitudes: np.ndarray, longitudes: np.ndarray) -> pa.Table:
    labels = np.arange(len(latitudes), dtype=np.int32)
    return pa.table(
        {
            "class_label": labels,
            "hex_id": [f"{label:x}1" for label in labels],
            "imgs_per_cell": np.full(len(labels), 9),
            "latitude_mean": latitudes,
            "longitude_mean": longitudes,
        }
    )


def hierarchy() -> pa.Table:
    fine = np.arange(4, dtype=np.int32)
    return pa.table({"coarse": PARENTS.astype(np.int32), "middle": fine, "fine": fine})


def at_temperature(temperature: float) -> HeadCalibration:
    """A calibration whose other numbers are made up."""
    return HeadCalibration(
        temperature=temperature, num_photos=9, nll_before=2.0, nll_after=1.0, ece_before=0.2, ece_after=0.1
    )


def calibration(heads: dict[str, float], radii_km: dict[int, float], checkpoint_sha256: str = "") -> Calibration:
    """A calibration of these temperatures."""
    return Calibration(
        checkpoint_sha256=checkpoint_sha256,
        crops=5,
        combine="max",
        num_photos=500,
        heads={p_key: at_temperature(t) for p_key, t in heads.items()},
        radii_km={radius: at_temperature(t) for radius, t in radii_km.items()},
    )


def geography() -> Geography:
    return Geography.from_tables(cells(), hierarchy())


def jpeg(colour: np.ndarray, random: np.random.Generator, size: tuple[int, int] = (40, 32)) -> bytes:
    """A noisy picture of one colour, width x height pixels."""
    noise = random.normal(0, 20, (size[1], size[0], 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def photos(shards_root: Path, num_photos: int, *, seed: int = 0) -> pa.Table:
    """Write a shard and return its table of labelled photos; every seventh has no fine class."""
    random = np.random.default_rng(seed)
    fine = random.integers(0, 4, num_photos)
    name = f"shard-{seed}.msg"
    with ShardWriter(shards_root / name) as writer:
        spans = [writer.append(f"{seed}-{i}", jpeg(COLOURS[label], random)) for i, label in enumerate(fine)]
    offsets, lengths = np.array(spans).T
    return pa.table(
        {
            "photo_id": [f"{seed}-{i}" for i in range(num_photos)],
            "latitude": LATITUDES[fine],
            "longitude": LONGITUDES[fine],
            "coarse": PARENTS[fine].astype(np.int32),
            "middle": fine.astype(np.int32),
            "fine": pa.array([None if i % 7 == 6 else int(label) for i, label in enumerate(fine)], type=pa.int32()),
            "shard": [name] * num_photos,
            "offset": offsets,
            "length": lengths,
        }
    )
