"""The photos that are fed, in each contender's own format.

Here live made-up photos of the sizes that matter and their writing as our shards, as webdataset's tar files and as
litdata's chunks. The one idea: the same bytes everywhere, and in each format the row of the photo, so that what comes
out can be held against each other.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from geo_pipeline.model.geography import Geography
from geo_pipeline.shards.format import ShardWriter
from geo_pipeline.training.config import AugmentationSettings, LoaderSettings, ModelParams
from geo_pipeline.training.data import LabelledPhotos
from geo_pipeline.world.views import blue_marble

CHUNK_BYTES = "64MB"
"""What litdata's documentation recommends for its chunks; our shards and the tar files are as large."""

QUALITY = 90


@dataclass(frozen=True)
class Case:
    """Photos of (width, height) that become squares for the network."""

    size: tuple[int, int]
    image_size: int
    num_photos: int

    @property
    def name(self) -> str:
        """As the results call it."""
        return f"{min(self.size)} to {self.image_size} px"

    def params(self, **loader: int | str) -> ModelParams:
        """The settings of a training on them; the paper's crops and flips."""
        return ModelParams(
            architecture="small_resnet",
            image_size=self.image_size,
            resize_size=self.image_size,
            batch_size=128,
            augmentation=AugmentationSettings(),
            loader=LoaderSettings.model_validate(loader),
        )


CASES = (Case((480, 320), 224, 2000), Case((80, 80), 64, 12_000))


def photo(size: tuple[int, int], seed: int) -> bytes:
    """A JPEG: a place of Blue Marble with the noise of a camera."""
    random = np.random.default_rng(seed)
    width, height = size
    left, top = int(random.integers(blue_marble().width - width)), int(random.integers(blue_marble().height - height))
    ground = np.asarray(blue_marble().crop((left, top, left + width, top + height)), np.float32)
    noisy = np.clip(ground + random.normal(scale=6, size=ground.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def geography() -> Geography:
    """Two cells in each partitioning: labels are not what is measured."""
    cells = pa.table(
        {
            "class_label": pa.array([0, 1], pa.int32()),
            "hex_id": ["1", "3"],
            "imgs_per_cell": [9, 9],
            "latitude_mean": [0.0, 1.0],
            "longitude_mean": [0.0, 1.0],
        }
    )
    ancestors = pa.table({name: pa.array([0, 1], pa.int32()) for name in ("coarse", "middle", "fine")})
    return Geography.from_tables({"coarse": cells, "middle": cells, "fine": cells}, ancestors)


def as_shards(folder: Path, photos: list[bytes]) -> LabelledPhotos:
    """Our format. The latitude of a photo is its row."""
    with ShardWriter(folder / "shard-000.msg") as writer:
        places = np.array([writer.append(f"{row:08d}", jpeg) for row, jpeg in enumerate(photos)])
    return labelled(folder, np.zeros(len(photos), np.int64), places)


def labelled(folder: Path, shards: np.ndarray, places: np.ndarray) -> LabelledPhotos:
    """A table of photos in `shard-NNN.msg` at places int64[n, 2] (offset, length)."""
    names = pa.array([f"shard-{shard:03d}.msg" for shard in range(shards.max() + 1)])
    labels = {name: pa.array(np.zeros(len(shards), np.int32)) for name in ("coarse", "middle", "fine")}
    table = pa.table(
        {
            "shard": names.take(pa.array(shards)),
            "offset": places[:, 0],
            "length": places[:, 1],
            "latitude": np.arange(len(shards), dtype=np.float64),
            "longitude": np.zeros(len(shards)),
            **labels,
        }
    )
    return LabelledPhotos(table, folder, geography())


def as_tar(folder: Path, photos: list[bytes]) -> str:
    """Webdataset's format; the key of a photo is its row."""
    path = folder / "photos-000.tar"
    with tarfile.open(path, "w") as archive:
        for row, jpeg in enumerate(photos):
            entry = tarfile.TarInfo(f"{row:08d}.jpg")
            entry.size = len(jpeg)
            archive.addfile(entry, io.BytesIO(jpeg))
    return str(path)


def as_chunks(folder: Path, photos: list[bytes]) -> str:
    """Litdata's format, written by its own `optimize`."""
    import litdata

    output = folder / "chunks"
    rows = list(range(len(photos)))
    litdata.optimize(
        fn=partial(_sample, photos), inputs=rows, output_dir=str(output), chunk_bytes=CHUNK_BYTES, num_workers=1
    )
    return str(output)


def _sample(photos: list[bytes], row: int) -> dict[str, bytes | int]:
    return {"image": photos[row], "row": row}
