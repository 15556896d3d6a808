from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.model.preprocessing import crops_for_test
from geo_pipeline.training.config import LoaderSettings, ModelParams
from geo_pipeline.training.data import Batch, LabelledPhotos
from geo_pipeline.training.loader import training_loader, validation_loader
from geo_pipeline_tests.model import made_up

PARAMS = ModelParams(architecture="small_resnet", image_size=32, resize_size=32, batch_size=8)


def labelled(folder: Path, num_photos: int = 30) -> LabelledPhotos:
    return LabelledPhotos(made_up.photos(folder, num_photos), folder, made_up.geography())


def with_loader(**settings: Any) -> ModelParams:
    return PARAMS.model_copy(update={"loader": LoaderSettings(**settings)})


def one_epoch(photos: LabelledPhotos, params: ModelParams = PARAMS, **start: int) -> list[Batch]:
    return list(training_loader(photos, params, **start))


def ruin(shard: Path, table: pa.Table, rows: list[int]) -> None:
    """Overwrite the beginning of some photos' JPEGs."""
    content = bytearray(shard.read_bytes())
    for row in rows:
        start = content.index(b"\xff\xd8", table["offset"][row].as_py())
        content[start : start + 2] = b"no"
    shard.write_bytes(content)


def test_batches_hold_bytes_and_labels_of_every_head(tmp_path: Path) -> None:
    batch = one_epoch(labelled(tmp_path))[0]
    assert (batch.images.shape, batch.images.dtype) == ((8, 3, 32, 32), torch.uint8)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert (batch.labels.shape, batch.labels.dtype) == ((8, 3), torch.int64)
    assert (batch.coordinates.shape, batch.coordinates.dtype) == ((8, 2), torch.float64)


def test_pictures_labels_and_coordinates_stay_together(tmp_path: Path) -> None:
    for batch in one_epoch(labelled(tmp_path)):
        means = batch.images.float().mean(dim=(2, 3)).numpy()
        middle = np.abs(made_up.COLOURS - means[:, None]).sum(axis=2).argmin(axis=1)
        np.testing.assert_array_equal(batch.labels[:, 1], middle)
        np.testing.assert_array_equal(batch.labels[:, 0], made_up.PARENTS[middle])
        np.testing.assert_array_equal(batch.coordinates[:, 0], made_up.LATITUDES[middle])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(tmp_path: Path, workers: int) -> None:
    table = made_up.photos(tmp_path, 30)
    ruin(tmp_path / "shard-0.msg", table, [3, 17])
    photos = LabelledPhotos(table, tmp_path, made_up.geography())
    alone = training_loader(photos, with_loader(max_damaged_share=0.5))
    together = training_loader(photos, with_loader(num_workers=workers, max_damaged_share=0.5))
    for epoch in range(2):
        for loader in (alone, together):
            loader.sampler.set_epoch(epoch)
        for a, b in zip(alone, together, strict=True):
            assert all(torch.equal(one, other) for one, other in zip(a, b, strict=True))
        assert (alone.damage.num_seen, alone.damage.num_damaged) == (30, 2)
        assert (together.damage.num_seen, together.damage.num_damaged) == (30, 2)


def test_two_processes_show_the_photos_of_one_with_the_same_pixels(tmp_path: Path) -> None:
    photos = labelled(tmp_path)
    whole = one_epoch(photos, PARAMS.model_copy(update={"batch_size": 16}))
    parts = [one_epoch(photos, PARAMS, rank=rank, world_size=2) for rank in range(2)]
    for one, *two in zip(whole, *parts, strict=True):
        assert all(torch.equal(a, torch.cat(b)) for a, b in zip(one, zip(*two, strict=True), strict=True))


def test_a_loader_that_begins_in_the_middle_gives_the_same_pixels_from_there(tmp_path: Path) -> None:
    photos = labelled(tmp_path)
    whole, rest = one_epoch(photos), one_epoch(photos, first_epoch=0, first_batch=2)
    assert len(rest) == len(whole) - 2
    assert all(torch.equal(a.images, b.images) for a, b in zip(whole[2:], rest, strict=True))


def test_another_epoch_shows_a_photo_in_another_way(tmp_path: Path) -> None:
    loader = training_loader(labelled(tmp_path, 1), PARAMS)
    first = next(iter(loader)).images
    loader.sampler.set_epoch(1)
    assert not torch.equal(first, next(iter(loader)).images)


def test_loading_leaves_the_trainings_random_numbers_alone(tmp_path: Path) -> None:
    photos = labelled(tmp_path)
    state = torch.get_rng_state()
    one_epoch(photos)
    assert torch.equal(torch.get_rng_state(), state)


def test_validation_keeps_the_order_and_the_pixels(tmp_path: Path) -> None:
    photos = labelled(tmp_path)
    first, second = (list(validation_loader(photos, PARAMS)) for _ in range(2))
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, second, strict=True))
    np.testing.assert_array_equal(torch.cat([batch.labels for batch in first]), photos.labels)


def test_validation_sees_what_prediction_sees(tmp_path: Path) -> None:
    photos = labelled(tmp_path)
    images = torch.cat([batch.images for batch in validation_loader(photos, PARAMS)])
    np.testing.assert_array_equal(
        images, np.concatenate([crops_for_test(photos.stored.image(row), PARAMS, 1) for row in range(len(photos))])
    )


def test_damaged_photos_are_left_out_counted_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = made_up.photos(tmp_path, 30)
    ruin(tmp_path / "shard-0.msg", table, [4, 5])
    photos = LabelledPhotos(table, tmp_path, made_up.geography())
    loader = training_loader(photos, with_loader(max_damaged_share=0.1))
    with caplog.at_level(logging.WARNING):
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            batches = list(loader)
            assert sum(len(batch.images) for batch in batches) == 28
            assert all(len(batch.images) == len(batch.labels) == len(batch.coordinates) for batch in batches)
            assert (loader.damage.num_seen, loader.damage.num_damaged) == (30, 2)
    offsets = [table["offset"][row].as_py() for row in (4, 5)]
    told = sorted(record.getMessage() for record in caplog.records)
    assert len(told) == 2
    assert all(
        f"shard-0.msg: damaged photo at byte {offset}" in text for offset, text in zip(offsets, told, strict=True)
    )


def test_too_many_damaged_photos_end_the_training_with_their_places(tmp_path: Path) -> None:
    table = made_up.photos(tmp_path, 30)
    ruin(tmp_path / "shard-0.msg", table, [4, 5])
    photos = LabelledPhotos(table, tmp_path, made_up.geography())
    offset = table["offset"][4].as_py()
    with pytest.raises(InputError, match=rf"2 of the first.*max_damaged_share \(5\.00%\)(.|\n)*byte {offset}"):
        list(training_loader(photos, with_loader(max_damaged_share=0.05)))


def test_a_batch_without_a_readable_photo_is_an_empty_batch(tmp_path: Path) -> None:
    table = made_up.photos(tmp_path, 4)
    ruin(tmp_path / "shard-0.msg", table, [0, 1, 2, 3])
    photos = LabelledPhotos(table, tmp_path, made_up.geography())
    (batch,) = training_loader(photos, with_loader(max_damaged_share=1))
    assert [len(part) for part in batch] == [0, 0, 0]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_shard_ends_the_training_and_is_named(tmp_path: Path, workers: int) -> None:
    photos = labelled(tmp_path)
    (tmp_path / "shard-0.msg").unlink()
    with pytest.raises(InputError, match=r"^\S*shard-0\.msg: the shard is not there"):
        list(training_loader(photos, with_loader(num_workers=workers)))
