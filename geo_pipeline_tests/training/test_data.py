from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.training.config import ModelParams
from geo_pipeline.training.data import Batch, LabelledPhotos, training_loader, validation_loader
from geo_pipeline_tests.model import made_up

PARAMS = ModelParams(architecture="small_resnet", image_size=32, resize_size=32, batch_size=8)


def labelled(folder: Path, num_photos: int = 30) -> LabelledPhotos:
    return LabelledPhotos(made_up.photos(folder, num_photos), folder, made_up.geography())


def one_epoch(photos: LabelledPhotos, params: ModelParams, **start: int) -> list[Batch]:
    return list(training_loader(photos, params, **start))


def test_batches_hold_bytes_and_labels_of_every_head(tmp_path: Path) -> None:
    batch = one_epoch(labelled(tmp_path), PARAMS)[0]
    assert (batch.images.shape, batch.images.dtype) == ((8, 3, 32, 32), torch.uint8)
    assert (batch.labels.shape, batch.labels.dtype) == ((8, 3), torch.int64)
    assert (batch.coordinates.shape, batch.coordinates.dtype) == ((8, 2), torch.float64)


def test_pictures_labels_and_coordinates_stay_together(tmp_path: Path) -> None:
    for batch in one_epoch(labelled(tmp_path), PARAMS):
        means = batch.images.float().mean(dim=(2, 3)).numpy()
        middle = np.abs(made_up.COLOURS - means[:, None]).sum(axis=2).argmin(axis=1)
        np.testing.assert_array_equal(batch.labels[:, 1], middle)
        np.testing.assert_array_equal(batch.labels[:, 0], made_up.PARENTS[middle])
        np.testing.assert_array_equal(batch.coordinates[:, 0], made_up.LATITUDES[middle])


def test_a_missing_label_is_minus_one(tmp_path: Path) -> None:
    labels = torch.cat([batch.labels for batch in one_epoch(labelled(tmp_path), PARAMS)])
    assert (labels[:, 2] == -1).sum() == 30 // 7
    assert (labels[:, :2] >= 0).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_no_pixel(tmp_path: Path, workers: int) -> None:
    photos = labelled(tmp_path)
    params = PARAMS.model_copy(update={"num_workers": workers})
    for alone, together in zip(one_epoch(photos, PARAMS), one_epoch(photos, params), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_loader_that_begins_in_the_middle_gives_the_same_pixels_from_there(tmp_path: Path) -> None:
    photos = labelled(tmp_path)
    whole, rest = one_epoch(photos, PARAMS), one_epoch(photos, PARAMS, first_epoch=0, first_batch=2)
    assert len(rest) == len(whole) - 2
    assert all(torch.equal(a.images, b.images) for a, b in zip(whole[2:], rest, strict=True))


def test_another_epoch_shows_a_photo_in_another_way(tmp_path: Path) -> None:
    loader = training_loader(labelled(tmp_path, 1), PARAMS)
    first = next(iter(loader)).images
    loader.batch_sampler.set_epoch(1)
    assert not torch.equal(first, next(iter(loader)).images)


def test_validation_keeps_the_order_and_the_pixels(tmp_path: Path) -> None:
    photos = labelled(tmp_path)
    first, second = (list(validation_loader(photos, PARAMS)) for _ in range(2))
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, second, strict=True))
    np.testing.assert_array_equal(torch.cat([batch.labels for batch in first]), photos.labels)


def test_photos_without_the_column_of_a_partitioning_are_refused(tmp_path: Path) -> None:
    table = made_up.photos(tmp_path, 3).drop(["middle"])
    with pytest.raises(InputError, match="no labels for partitioning middle"):
        LabelledPhotos(table, tmp_path, made_up.geography())


def test_a_label_that_the_partitioning_does_not_have_is_refused(tmp_path: Path) -> None:
    table = made_up.photos(tmp_path, 3)
    table = table.set_column(table.column_names.index("coarse"), "coarse", [[0, 1, 5]])
    with pytest.raises(InputError, match="coarse has 2 cells, a photo has class label 5"):
        LabelledPhotos(table, tmp_path, made_up.geography())
