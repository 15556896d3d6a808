from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from geo_pipeline.crawl.bucket import Bucket, crawl_buckets, import_folder
from geo_pipeline.crawl.storage import BucketStore
from geo_pipeline.errors import InputError
from geo_pipeline.photos.url_lists import bucket_numbers
from geo_pipeline.planning.workload import Work, Workload, free_space, workload
from geo_pipeline.planning.workload_text import workload_text
from geo_pipeline.profile import Layout, Profile, load_profile
from geo_pipeline.shards.manifest import ManifestRow, Status
from geo_pipeline.world.lease import world_server
from geo_pipeline_tests.conftest import SMALL_SETS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLENTY = 10**12


def buckets_of(profile: Profile, layout: Layout, name: str) -> list[Bucket]:
    photos = profile.photo_set(name).listed().photos
    numbers = bucket_numbers(photos["photo_id"], profile.photo_sets[name].buckets)
    keys = [f"{name}-{k:03d}" for k in range(profile.photo_sets[name].buckets)]
    return [Bucket(key, photos.filter(pa.array(numbers == k)), layout.bucket(key)) for k, key in enumerate(keys)]


def of(found: Workload, name: str) -> Work:
    (work,) = (each.work for each in found.sets if each.name == name)
    return work


def adds_up(work: Work) -> bool:
    return work.listed == work.stored + work.refused + work.due_now + work.due_later


def crawl_all(profile: Profile, layout: Layout, now: datetime) -> None:
    """Download or import every set from the small world's own server."""
    assert profile.world
    with world_server(profile.world, log_file=layout.folder / "server.log"):
        for name, settings in profile.photo_sets.items():
            buckets = buckets_of(profile, layout, name)
            if settings.image_dir:
                for bucket in buckets:
                    import_folder(bucket, settings.image_dir, profile.crawl, lambda: now)
            else:
                assert all(result.error is None for result in crawl_buckets(buckets, profile.crawl, now=lambda: now))


def due_for_the_crawl(profile: Profile, layout: Layout, name: str, now: datetime) -> int:
    """How many photos the crawl itself finds due in a set's buckets; it opens them for that."""
    number = 0
    for bucket in buckets_of(profile, layout, name):
        store = BucketStore(bucket, profile.crawl, now)
        number += store.plan.due.num_rows
        store.close()
    return number


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "home" / "small")


@pytest.fixture
def profile(write_profile: Callable[..., Path]) -> Profile:
    return load_profile(write_profile(crawl__retries=0, crawl__timeout_seconds=5))


def test_before_the_first_crawl_everything_is_due(profile: Profile, layout: Layout) -> None:
    found = workload(profile, layout, NOW, PLENTY)
    assert {each.name: each.work.listed for each in found.sets} == SMALL_SETS
    assert found.total.listed == sum(SMALL_SETS.values())
    listed = sum(number for name, number in SMALL_SETS.items() if name != "world_300")
    assert found.total.requests_least == listed
    assert found.total.requests_most == listed * (profile.crawl.max_redirects + 1)
    assert adds_up(found.total)
    assert all(adds_up(each.work) for each in found.sets)
    assert of(found, "world_300").requests_least == 0
    assert profile.world
    assert found.total.busiest_origin == f"http://127.0.0.1:{profile.world.port}"
    assert not layout.folder.exists()


def test_the_pictures_that_a_folder_lacks_are_not_imported(profile: Profile, layout: Layout) -> None:
    folder = profile.photo_sets["world_300"].image_dir
    assert folder
    work = of(workload(profile, layout, NOW, PLENTY), "world_300")
    assert work.due_now == sum(1 for path in folder.iterdir() if path.suffix == ".jpg")
    assert work.refused == work.listed - work.due_now


@pytest.mark.parametrize("number", [1, 7, 59, 60, 1000])
def test_a_trial_of_any_size_is_planned_in_that_size(
    write_profile: Callable[..., Path], layout: Layout, number: int
) -> None:
    profile = load_profile(write_profile(photo_sets__world_train__max_photos=number))
    found = workload(profile, layout, NOW, PLENTY)
    expected = min(number, SMALL_SETS["world_train"])
    assert of(found, "world_train").due_now == of(found, "world_train").requests_least == expected
    assert found.training.num_photos == expected
    assert found.total.listed == sum(SMALL_SETS.values()) - SMALL_SETS["world_train"] + expected


def test_removed_photos_are_not_planned(write_profile: Callable[..., Path], layout: Layout, tmp_path: Path) -> None:
    ids = load_profile(write_profile()).photo_set("world_train").listed().photos["photo_id"].to_pylist()
    (tmp_path / "removals.csv").write_text("photo_id\n" + "\n".join(ids[:5]) + "\n", "utf-8")
    profile = load_profile(write_profile(removal_list="removals.csv"))
    assert of(workload(profile, layout, NOW, PLENTY), "world_train").listed == SMALL_SETS["world_train"] - 5


def test_after_a_crawl_the_plan_is_what_the_next_crawl_would_do(
    profile: Profile, write_profile: Callable[..., Path], layout: Layout
) -> None:
    crawl_all(profile, layout, NOW)
    files = sorted(path for path in layout.folder.rglob("*"))
    other_size = load_profile(write_profile(crawl__retries=0, crawl__timeout_seconds=5, crawl__image_size=40))
    other_limit = load_profile(write_profile(crawl__retries=0, crawl__timeout_seconds=5, crawl__min_side=16))
    trial = load_profile(write_profile(crawl__retries=0, photo_sets__world_train__max_photos=20))
    seen = set()
    for now in (NOW, NOW + timedelta(days=400)):
        for changed in (profile, other_size, other_limit, trial):
            found = workload(changed, layout, now, PLENTY)
            assert sorted(path for path in layout.folder.rglob("*")) == files
            for each in found.sets:
                assert adds_up(each.work)
                if each.source == "urls":
                    due = due_for_the_crawl(changed, layout, each.name, now)
                    assert each.work.due_now == due, each.name
                    seen.add(due)
                    for bucket in buckets_of(changed, layout, each.name):
                        (bucket.directory / "ledger.jsonl").unlink()
    assert {0, SMALL_SETS["world_train"]} & seen
    assert len(seen) > 2


def test_stored_photos_are_counted_and_measured(profile: Profile, layout: Layout) -> None:
    crawl_all(profile, layout, NOW)
    found = workload(profile, layout, NOW, PLENTY)
    stored = sum(path.stat().st_size for path in layout.shards.rglob("shard-*.msg"))
    assert 50 < found.total.stored < found.total.listed
    assert found.experience.num_stored == found.total.stored
    assert found.experience.stored_bytes == pytest.approx(stored / found.total.stored)
    assert found.total.disk_bytes < stored / 2


def test_a_shard_that_is_gone_makes_its_photos_due_again(profile: Profile, layout: Layout) -> None:
    crawl_all(profile, layout, NOW)
    before = of(workload(profile, layout, NOW, PLENTY), "world_train")
    for path in (layout.shards / "world_train").rglob("shard-*.msg"):
        path.unlink()
    after = of(workload(profile, layout, NOW, PLENTY), "world_train")
    assert (after.stored, after.due_now) == (0, before.due_now + before.stored)


def test_what_an_interrupted_crawl_has_recorded_is_not_due(profile: Profile, layout: Layout) -> None:
    (bucket, *_) = buckets_of(profile, layout, "world_train")
    store = BucketStore(bucket, profile.crawl, NOW)
    rows = bucket.photos.slice(0, 3).to_pylist()
    for row, status in zip(rows, (Status.OK, Status.NOT_FOUND, Status.TIMEOUT), strict=True):
        later = NOW + timedelta(hours=5) if status is Status.TIMEOUT else None
        jpeg = b"picture" if status is Status.OK else None
        store.record(ManifestRow(row["photo_id"], row["url"], status, fetched_at=NOW, next_attempt_at=later), jpeg)
    found = of(workload(profile, layout, NOW, PLENTY), "world_train")
    assert (found.stored, found.refused, found.due_later) == (1, 1, 1)
    assert found.next_due_at == NOW + timedelta(hours=5)
    with (bucket.directory / "ledger.jsonl").open("ab") as stream:
        stream.write(b'{"photo_id": "half a li')
    assert of(workload(profile, layout, NOW, PLENTY), "world_train") == found
    store.close()


def test_a_disk_that_is_too_small_is_told(profile: Profile, layout: Layout) -> None:
    needed = workload(profile, layout, NOW, PLENTY).total.disk_bytes
    assert workload(profile, layout, NOW, needed).fits_on_disk
    short = workload(profile, layout, NOW, needed - 1)
    assert not short.fits_on_disk
    assert "NOT ENOUGH" in workload_text(short)
    assert "NOT ENOUGH" not in workload_text(workload(profile, layout, NOW, PLENTY))


def test_free_space_is_that_of_the_disk_where_the_folder_will_be(tmp_path: Path) -> None:
    assert free_space(tmp_path / "not" / "yet" / "there") == pytest.approx(free_space(tmp_path), rel=0.05)


def test_the_json_form_holds_every_number_and_is_plain(profile: Profile, layout: Layout) -> None:
    found = workload(profile, layout, NOW, PLENTY)
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["now"] == "2026-03-01T12:00:00Z"
    assert plain["total"]["due_now"] == found.total.due_now
    assert [each["work"]["listed"] for each in plain["sets"]] == [each.work.listed for each in found.sets]
    assert [each["role"] for each in plain["sets"]] == [each.role.value for each in found.sets]
    assert plain["training"]["num_classes"] == {"coarse": None, "middle": None, "fine": None}


def test_the_text_is_an_aligned_table_with_what_is_unknown_said(profile: Profile, layout: Layout) -> None:
    text = workload_text(workload(profile, layout, NOW, PLENTY))
    table = text.split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in table] == ["photo", *SMALL_SETS, "in"]
    end = table[0].index("due now") + len("due now")
    assert all(line[end - 1] != " " and line[end : end + 1] in {"", " "} for line in table)
    assert "coarse, middle, fine unknown until cells are made" in text
    assert "0.5 s a request (assumed)" in text
    assert max(map(len, text.splitlines())) <= 120


def test_missing_input_files_are_all_named(write_profile: Callable[..., Path], layout: Layout) -> None:
    profile = load_profile(
        write_profile(photo_sets__world_train__url_csv="absent.csv", photo_sets__world_1k__metadata_csv="gone.csv")
    )
    with pytest.raises(InputError, match=r"(?s)input files are missing:.*absent\.csv.*gone\.csv"):
        workload(profile, layout, NOW, PLENTY)
