from __future__ import annotations

from pathlib import Path

import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.photos.metadata import read_metadata_csv

SCENES = {"water": "Prob_water"}
PUBLISHED = {
    "im2gps_places365.csv": 237,
    "im2gps3k_places365.csv": 2997,
    "yfcc25600_places365.csv": 25600,
}
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def write(folder: Path, *lines: str, header: str = "IMG_ID,AUTHOR,LAT,LON,Prob_water") -> Path:
    path = folder / "metadata.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_good_rows_are_read_in_the_order_of_their_ids(tmp_path: Path) -> None:
    read = read_metadata_csv("s", write(tmp_path, "b,me,-90,180,1", "a,,+45.5,-1e1,0.25"), SCENES)
    assert read.photos.to_pylist() == [
        {
            "photo_id": "a",
            "photo_set": "s",
            "author": "",
            "latitude": 45.5,
            "longitude": -10.0,
            "probability_water": 0.25,
        },
        {"photo_id": "b", "photo_set": "s", "author": "me", "latitude": -90, "longitude": 180, "probability_water": 1},
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x,me,90.001,0,1", "LAT is '90.001', expected a number from -90 to 90"),
        ("x,me,0,-180.5,1", "LON is '-180.5', expected a number from -180 to 180"),
        ("x,me,nan,0,1", "LAT is 'nan'"),
        ("x,me,inf,0,1", "LAT is 'inf'"),
        ("x,me,,0,1", "LAT is ''"),
        ("x,me,12N,0,1", "LAT is '12N'"),
        ("x,me,0,0,2", "Prob_water is '2', expected a number from 0 to 1"),
        ("good,me,0,0,1", "doubled id: stands already in row 2"),
        (",me,0,0,1", "empty IMG_ID"),
        ("x,me,0,0", "expected 5 values, found 4"),
    ],
)
def test_a_bad_row_is_rejected_with_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    read = read_metadata_csv("s", write(tmp_path, "good,me,1,2,0.5", line), SCENES)
    assert read.photos["photo_id"].to_pylist() == ["good"]
    (reject,) = read.rejects.to_pylist()
    assert reject["row"] == 3
    assert reason in reject["reason"]
    assert reject["file"] == str(tmp_path / "metadata.csv")


def test_a_missing_column_is_named_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column LON; the header has IMG_ID, LAT"):
        read_metadata_csv("s", write(tmp_path, header="IMG_ID,LAT"), SCENES)
    with pytest.raises(InputError, match="no column Prob_land; the header has IMG_ID, LAT, LON, Prob_water"):
        read_metadata_csv("s", write(tmp_path, header="IMG_ID,LAT,LON,Prob_water"), SCENES | {"land": "Prob_land"})


def test_the_probability_of_a_scene_may_be_unknown_for_a_photo_or_a_whole_file(tmp_path: Path) -> None:
    some = read_metadata_csv("s", write(tmp_path, "a,me,1,2,", "b,me,1,2, ", "c,me,1,2,0.25"), SCENES)
    assert some.photos["probability_water"].to_pylist() == [None, None, 0.25]
    none = read_metadata_csv("s", write(tmp_path, "a,1,2", header="IMG_ID,LAT,LON"), SCENES | {"land": "Prob_land"})
    assert none.photos.select(["probability_water", "probability_land"]).to_pylist() == [
        {"probability_water": None, "probability_land": None}
    ]
    assert some.rejects.num_rows == none.rejects.num_rows == 0


@pytest.mark.parametrize(("name", "rows"), PUBLISHED.items())
def test_published_metadata_is_read_whole(name: str, rows: int) -> None:
    if not SHARED.exists():
        pytest.skip("the folder with published metadata is not there")
    scenes = {"indoor": "Prob_indoor", "natural": "Prob_natural", "urban": "Prob_urban"}
    read = read_metadata_csv("s", SHARED / name, scenes)
    assert (read.photos.num_rows, read.rejects.num_rows) == (rows, 0)
