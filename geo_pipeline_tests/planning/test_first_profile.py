from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geo_pipeline.cells.distance import great_circle_km
from geo_pipeline.cells.partitioning import make_partitionings
from geo_pipeline.errors import InputError
from geo_pipeline.photos.metadata import read_metadata_csv
from geo_pipeline.photos.settings import Role
from geo_pipeline.photos.url_lists import read_url_csv
from geo_pipeline.planning.first_profile import FirstProfileRequest, first_profile
from geo_pipeline.profile import Profile, load_profile
from geo_pipeline_tests.planning.made_up import Lists, write_lists

BAD_URLS = ["p000001.jpg,http://one.example.org/again.jpg", "x1,", "stranger,http://one.example.org/s.jpg"]
BAD_METADATA = ["x2,me,95,0,1,0.5,0.5", "x3,me,1,2", "lonely,me,10,10,1,0.5,0.5"]


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    return write_lists(tmp_path / "given", 900, more_urls=BAD_URLS, more_metadata=BAD_METADATA)


@pytest.fixture
def request_(lists: Lists, tmp_path: Path) -> FirstProfileRequest:
    return FirstProfileRequest("mine", tmp_path / "resources" / "mine.yaml", lists.urls, lists.metadata)


def ids(path: Path) -> list[str]:
    """Photo ids of a URL list or of metadata without its header, read by hand."""
    return [line.split(",")[0] for line in path.read_text("utf-8").splitlines() if not line.startswith("IMG_ID")]


def coordinates(profile: Profile, role: Role) -> tuple[np.ndarray, np.ndarray]:
    (name,) = profile.sets_of(role)
    photos = read_metadata_csv(name, profile.photo_sets[name].metadata_csv, profile.scenes).photos
    return photos["latitude"].to_numpy(), photos["longitude"].to_numpy()


def test_one_list_becomes_a_profile_with_all_three_roles(request_: FirstProfileRequest) -> None:
    written = first_profile(request_)
    profile = load_profile(written.path)
    profile.require_inputs()
    assert profile.name == "mine"
    assert [profile.sets_of(role) for role in Role] == [["mine_train"], ["mine_validation"], ["mine_benchmark"]]
    assert profile.training_config().model_params.architecture == "small_resnet"
    assert profile.scenes == {"indoor": "Prob_indoor", "urban": "Prob_urban"}
    assert {path.parent for path in written.lists} == {request_.output.parent / "mine"}
    text = written.path.read_text("utf-8")
    assert "mine/mine_train_urls.csv" in text
    assert str(request_.output.parent) + "/mine/" not in text


def test_networks_for_the_scenes_are_offered_with_the_config_that_fits(request_: FirstProfileRequest) -> None:
    path = first_profile(request_).path
    assert load_profile(path).scene_training is None
    path.write_text(path.read_text("utf-8").replace("# scene_training:", "scene_training:"), encoding="utf-8")
    profile = load_profile(path)
    ours, base = profile.scene_config().model_params, profile.training_config().model_params
    assert (ours.architecture, ours.image_size) == (base.architecture, base.image_size)


def test_every_row_is_copied_once_as_it_stands_unless_it_is_of_the_border(
    request_: FirstProfileRequest, lists: Lists
) -> None:
    written = first_profile(request_)
    border = int(re.findall(r"([\d,]+) photos within 25 km", written.text)[0])
    for kind, source in (("urls", lists.urls), ("metadata", lists.metadata)):
        given = source.read_text("utf-8").splitlines()
        copies = [path.read_text("utf-8").splitlines() for path in written.lists if path.stem.endswith(kind)]
        header = {given[0]} if kind == "metadata" else set()
        assert all(header <= {copy[0]} for copy in copies)
        rows = [row for copy in copies for row in copy if row not in header]
        assert len(rows) == len(set(rows))
        assert set(rows) <= set(given)
        assert len(given) - len(header) - len(rows) == border + (kind == "metadata") * ("lonely" not in "".join(rows))


def test_places_of_the_benchmark_are_far_from_the_other_sets(request_: FirstProfileRequest) -> None:
    profile = load_profile(first_profile(request_).path)
    benchmark = coordinates(profile, Role.BENCHMARK)
    assert 30 <= len(benchmark[0]) <= 60
    for role in (Role.TRAIN, Role.VALIDATION):
        others = coordinates(profile, role)
        km = great_circle_km(benchmark[0][:, None], benchmark[1][:, None], others[0], others[1])
        assert km.min() > 25


def test_what_the_comments_say_is_what_the_written_lists_hold(request_: FirstProfileRequest) -> None:
    written = first_profile(request_)
    profile = load_profile(written.path)
    text = re.sub(r"\n *# ", " ", written.path.read_text("utf-8"))
    for name, settings in profile.photo_sets.items():
        assert settings.url_csv
        listed = read_url_csv(name, settings.url_csv)
        metadata = read_metadata_csv(name, settings.metadata_csv, profile.scenes)
        both = set(listed.photos["photo_id"].to_pylist()) & set(metadata.photos["photo_id"].to_pylist())
        assert f"{listed.photos.num_rows:,} photos listed, {len(both):,} of them with a coordinate" in text
        if name == "mine_train":
            assert (listed.rejects.num_rows, metadata.rejects.num_rows) == (2, 2)
    assert "4 bad rows cannot be used" in text
    assert "urls.csv, row 901: doubled id: stands already in row 2" in text
    assert "http://one.example.org:80 (" in text
    assert "51 authors" in text
    made = make_partitionings(*coordinates(profile, Role.TRAIN), list(profile.partitionings.values()))  # type: ignore[arg-type]
    for cells in made:
        assert f"{cells.num_rows:,} cells; " in text


def test_the_tolerance_lets_the_lists_pass_as_they_are(request_: FirstProfileRequest) -> None:
    profile = load_profile(first_profile(request_).path)
    bad, good = np.zeros(2), np.zeros(2)
    for name, settings in profile.photo_sets.items():
        assert settings.url_csv
        listed = read_url_csv(name, settings.url_csv)
        metadata = read_metadata_csv(name, settings.metadata_csv, profile.scenes)
        bad += listed.rejects.num_rows, metadata.rejects.num_rows
        good += listed.photos.num_rows, metadata.photos.num_rows
    seen = float((100 * bad / (bad + good)).max())
    assert seen <= profile.checks.max_rejected_percent < 2 * seen


def test_lists_for_every_role_are_used_where_they_are(request_: FirstProfileRequest, tmp_path: Path) -> None:
    others = [write_lists(tmp_path / name, 60, seed=seed) for seed, name in enumerate(("validation", "benchmark"), 1)]
    request = replace(
        request_,
        validation_url_csv=others[0].urls,
        validation_metadata_csv=others[0].metadata,
        benchmark_url_csv=others[1].urls,
        benchmark_metadata_csv=others[1].metadata,
        contact="me@example.org",
    )
    written = first_profile(request)
    profile = load_profile(written.path)
    assert written.lists == ()
    assert profile.photo_sets["mine_train"].url_csv == request_.url_csv
    assert profile.photo_sets["mine_benchmark"].metadata_csv == others[1].metadata
    assert profile.crawl.contact == "me@example.org"
    train, benchmark = (coordinates(profile, role) for role in (Role.TRAIN, Role.BENCHMARK))
    km = great_circle_km(benchmark[0][:, None], benchmark[1][:, None], train[0], train[1])
    near = np.count_nonzero(km.min(axis=1) <= 25)
    told = f"{near} of its 60 coordinates lie" if near else "None of its 60 coordinates lies"
    assert told in re.sub(r"\n *# ", " ", written.path.read_text("utf-8"))


def pictures(folder: Path, metadata: Path, number: int) -> Path:
    """A folder with the first pictures that some metadata names."""
    for name in ids(metadata)[:number]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)
    return folder


def test_a_folder_of_pictures_is_a_benchmark_beside_a_list(request_: FirstProfileRequest, tmp_path: Path) -> None:
    other = write_lists(tmp_path / "pictures", 30, seed=3)
    folder = pictures(tmp_path / "images", other.metadata, 25)
    written = first_profile(replace(request_, image_dir=folder, image_metadata_csv=other.metadata))
    profile = load_profile(written.path)
    assert profile.sets_of(Role.BENCHMARK) == ["mine_pictures"]
    assert profile.photo_sets["mine_pictures"].image_dir == folder
    assert profile.sets_of(Role.VALIDATION) == ["mine_validation"]
    assert "25 pictures in the folder, 25 of them with a coordinate; 5 rows of the metadata" in written.text


def test_a_folder_of_pictures_alone_is_divided_by_its_metadata(tmp_path: Path) -> None:
    given = write_lists(tmp_path / "given", 300)
    folder = pictures(tmp_path / "images", given.metadata, 300)
    request = FirstProfileRequest("mine", tmp_path / "mine.yaml", image_dir=folder, image_metadata_csv=given.metadata)
    written = first_profile(request)
    profile = load_profile(written.path)
    assert {settings.image_dir for settings in profile.photo_sets.values()} == {folder}
    divided = [ids(settings.metadata_csv) for settings in profile.photo_sets.values()]
    assert all(divided)
    assert len(set().union(*divided)) == sum(map(len, divided)) <= 300


def test_a_loopback_list_gets_a_hint_and_no_exception(tmp_path: Path) -> None:
    given = write_lists(tmp_path / "given", 300, hosts=["http://127.0.0.1:8731"])
    written = first_profile(FirstProfileRequest("mine", tmp_path / "mine.yaml", given.urls, given.metadata))
    assert load_profile(written.path).crawl.allow_origins == ()
    assert "# allow_origins: [127.0.0.1:8731]" in written.path.read_text("utf-8")


@pytest.mark.parametrize("name", ["on", "null", "a1_b"])
def test_a_name_that_yaml_takes_for_something_else_stays_a_name(request_: FirstProfileRequest, name: str) -> None:
    assert load_profile(first_profile(replace(request_, name=name)).path).name == name


def test_nothing_is_written_over(request_: FirstProfileRequest) -> None:
    written = first_profile(request_)
    before = {path: path.read_bytes() for path in (written.path, *written.lists)}
    with pytest.raises(InputError, match=r"mine\.yaml: exists already"):
        first_profile(request_)
    written.path.unlink()
    with pytest.raises(InputError, match=r"mine_train_\w+\.csv: exists already"):
        first_profile(request_)
    assert not written.path.exists()
    assert all(path.read_bytes() == content for path, content in before.items() if path != written.path)


def test_what_fails_half_way_leaves_no_file_behind(
    request_: FirstProfileRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(path: Path, _content: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("geo_pipeline.planning.first_profile.write_text", full_disk)
    with pytest.raises(OSError, match="No space left"):
        first_profile(request_)
    assert [path for path in request_.output.parent.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "My Photos"}, "--name: found 'My Photos', expected small letters"),
        ({"output": Path("mine.txt")}, "--output: found mine.txt, expected a path that ends in .yaml"),
        ({"metadata_csv": None}, "--metadata-csv: missing; a list needs both"),
        ({"url_csv": None}, "--url-csv: missing"),
        ({"url_csv": None, "metadata_csv": None}, "no photos: give --url-csv and --metadata-csv"),
        ({"image_dir": Path("pictures")}, "--image-metadata-csv: missing"),
        ({"benchmark_url_csv": Path("b.csv")}, "--benchmark-metadata-csv: missing"),
        ({"url_csv": Path("absent.csv")}, r"absent\.csv: no such file"),
        ({"image_dir": Path("absent"), "image_metadata_csv": Path("absent.csv")}, r"absent\.csv: no such file"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(
    request_: FirstProfileRequest, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        first_profile(replace(request_, **changes))
    assert not request_.output.exists()


def test_swapped_files_are_told_apart(request_: FirstProfileRequest, lists: Lists) -> None:
    with pytest.raises(InputError, match=r"metadata\.csv: given as a URL list, but its first row is the header of"):
        first_profile(replace(request_, url_csv=lists.metadata, metadata_csv=lists.urls))
    with pytest.raises(InputError, match=r"metadata\.csv: given as a URL list"):
        first_profile(replace(request_, url_csv=lists.metadata))
    with pytest.raises(InputError, match=r"urls\.csv: "):
        first_profile(replace(request_, metadata_csv=lists.urls))


def test_lists_of_different_photos_are_refused(request_: FirstProfileRequest, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("IMG_ID,LAT,LON\nq1,1,2\n", "utf-8")
    with pytest.raises(InputError, match=r"other\.csv: no photo of it is in .*'q1' and 'p000000\.jpg'"):
        first_profile(replace(request_, metadata_csv=other))
    no_urls = tmp_path / "no_urls.csv"
    no_urls.write_text("p000000.jpg,photos/p000000.jpg\n", "utf-8")
    with pytest.raises(InputError, match=r"no row has an http\(s\) URL \(found 'photos/p000000\.jpg'\)"):
        first_profile(replace(request_, url_csv=no_urls))


def test_quoted_values_and_foreign_line_ends_are_copied_as_they_are(tmp_path: Path) -> None:
    given = write_lists(tmp_path / "given", 400)
    for path in (given.urls, given.metadata):
        path.write_bytes(
            b"\xef\xbb\xbf" + path.read_bytes().replace(b"p000007.jpg", b'"p000007.jpg"', 1).replace(b"\n", b"\r\n")
        )
    written = first_profile(FirstProfileRequest("mine", tmp_path / "mine.yaml", given.urls, given.metadata))
    copied = b"".join(path.read_bytes() for path in written.lists if path.stem.endswith("urls"))
    assert set(copied.splitlines(keepends=True)) <= set(
        given.urls.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    )
    profile = load_profile(written.path)
    total = sum(
        read_url_csv(name, each.url_csv).photos.num_rows for name, each in profile.photo_sets.items() if each.url_csv
    )
    border = int(re.findall(r"([\d,]+) photos within 25 km", written.text)[0])
    assert total == 400 - border
