from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.model.stored_photos import StoredPhotos
from geo_pipeline_tests.model.made_up import COLOURS, photos


def test_each_row_shows_its_own_photo_also_in_another_process(tmp_path: Path) -> None:
    table = photos(tmp_path, 12)
    stored = pickle.loads(pickle.dumps(StoredPhotos(table, tmp_path)))  # noqa: S301 our own bytes
    for row in (11, 0, 5):
        mean = np.asarray(stored.image(row)).mean(axis=(0, 1))
        assert np.abs(COLOURS - mean).sum(axis=1).argmin() == table["middle"][row].as_py()


def test_a_photo_that_cannot_be_decoded_names_shard_and_offset(tmp_path: Path) -> None:
    table = photos(tmp_path, 3)
    offset = table["offset"][1].as_py()
    shard = tmp_path / "shard-0.msg"
    content = bytearray(shard.read_bytes())
    start = content.index(b"\xff\xd8", offset)
    content[start : start + 2] = b"no"
    shard.write_bytes(content)
    with pytest.raises(InputError, match=rf"shard-0\.msg: damaged record at byte {offset}: a picture"):
        StoredPhotos(table, tmp_path).image(1)
