"""Which scene a photo shows, by a classifier from a local file: for photos whose metadata do not say.

Not here: what the scenes are for (scenes.py). The one idea: a classifier knows other classes than our scenes (Places365
has 365), so a table says of which scenes each class is, and a scene's probability is the sum over its classes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.model.crop_batches import PictureSource, load_crops
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.scenes import UNKNOWN, pick_scene, probability_column
from geo_pipeline.model.settings import SceneClassifierSettings
from geo_pipeline.model.stored_photos import StoredPhotos
from geo_pipeline.model.weights import load_classifier

Probabilities = npt.NDArray[np.float64]

_BATCH_SIZE = 64


class SceneClassifier:
    """A network whose classes belong to scenes.

    Raises InputError for files that are not there, do not hold what they should or do not fit each other.
    """

    def __init__(self, settings: SceneClassifierSettings, scenes: Sequence[str], device: torch.device) -> None:
        self._settings, self._device = settings, device
        self._network = _network(settings).eval().to(device)
        (num_classes,) = self._network.num_classes
        self._shares = class_shares(settings, scenes, num_classes)

    @torch.inference_mode()
    def probabilities(self, source: PictureSource) -> Probabilities:
        """float64[n, scenes]: of each photo of a source. What is of no scene is missing from the sum."""
        batches = load_crops(source, self._settings, 1, batch_size=_BATCH_SIZE, num_workers=0)
        found = [np.empty((0, self._shares.shape[1]))]
        for batch in batches:
            (logits,) = self._network(batch.crops[:, 0].to(self._device))
            found.append(logits.softmax(dim=1).cpu().double().numpy() @ self._shares)
        return np.concatenate(found)


def with_scenes(
    photos: pa.Table,
    scenes: Sequence[str],
    settings: SceneClassifierSettings | None,
    shards_root: Path,
    device: torch.device | None = None,
) -> pa.Table:
    """The same photos, with the classifier's `probability_<scene>` where the table knows none of a photo's.

    Without settings of a classifier they stay as they are. Raises InputError as SceneClassifier does, and for a damaged
    shard.
    """
    if settings is None:
        return photos
    unknown = pick_scene(photos, scenes) == UNKNOWN
    if not unknown.any():
        return photos
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    source = StoredPhotos(photos.filter(pa.array(unknown)), shards_root)
    found = SceneClassifier(settings, scenes, device).probabilities(source)
    for scene, probabilities in zip(scenes, found.T, strict=True):
        name = probability_column(scene)
        column = photos[name].to_numpy().astype(np.float64)
        column[unknown] = probabilities
        photos = photos.set_column(photos.column_names.index(name), name, pa.array(column, from_pandas=True))
    return photos


def class_shares(settings: SceneClassifierSettings, scenes: Sequence[str], num_classes: int) -> Probabilities:
    """float64[num_classes, scenes]: how a class is divided among its scenes; a class of several is so equally."""
    if settings.classes is None:
        if num_classes != len(scenes):
            raise InputError(
                f"{settings.checkpoint}: found {num_classes} classes, expected one for each of the scenes "
                f"{', '.join(scenes)}; name a table `class,scene` as scene_classifier.classes"
            )
        return np.eye(num_classes)
    shares = np.zeros((num_classes, len(scenes)))
    for row, (class_number, scene) in _rows(settings.classes):
        if not (class_number.isdecimal() and int(class_number) < num_classes and scene in scenes):
            raise InputError(
                f"{settings.classes}, line {row}: found {class_number},{scene}, expected a class from 0 to "
                f"{num_classes - 1} and one of the scenes {', '.join(scenes)}"
            )
        shares[int(class_number), scenes.index(scene)] = 1
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
    return shares


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """(line, (class, scene)) of a table."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader: csv.DictReader[str] = csv.DictReader(stream)
            if not {"class", "scene"} <= set(reader.fieldnames or ()):
                found = ",".join(reader.fieldnames or ()) or "nothing"
                raise InputError(f"{path}, line 1: expected a header with class,scene, found {found}")
            yield from ((reader.line_num, _row(row)) for row in reader)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; expected a table `class,scene`") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from error


def _row(row: Mapping[str, str | None]) -> tuple[str, str]:
    return (row["class"] or "").strip(), (row["scene"] or "").strip()


def _network(settings: SceneClassifierSettings) -> GeoModel:
    """The classifier as a network with one head."""
    network = GeoModel(settings.architecture, (1,), settings.image_size)
    classifier = load_classifier(network.backbone, settings.checkpoint)
    network.heads, network.num_classes = classifier, (classifier.out_features,)
    return network
