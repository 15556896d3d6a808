"""Damaged shards: whatever happens to some bytes, every other record is read."""

from __future__ import annotations

import mmap
import tracemalloc
from itertools import accumulate
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from geo_pipeline.shards import format as shard_format
from geo_pipeline.shards.format import DamagedRecordError, DamagedRegion, ShardRecord, iterate_shard
from geo_pipeline.shards.messagepack import object_end

Records = list[tuple[str, bytes]]
RECORDS = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=400)), min_size=1, max_size=6)
PLACES = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=12)), min_size=1, max_size=3)
ORDERS = st.sampled_from([("id", "image"), ("image", "id")])
THREE = [("1", b"a" * 20), ("2", b"b" * 20), ("3", b"c" * 20)]
"""Records of 32 bytes each; the length of the first picture is byte 12."""


def packed(records: Records, order: tuple[str, str] = ("id", "image")) -> list[bytes]:
    fields = [{"id": photo_id, "image": image} for photo_id, image in records]
    return [bytes(msgpack.packb({key: each[key] for key in order})) for each in fields]


def salvage(path: Path, content: bytes) -> tuple[list[ShardRecord], list[DamagedRegion]]:
    path.write_bytes(content)
    regions: list[DamagedRegion] = []
    return list(iterate_shard(path, skip_damaged=regions.append)), regions


def check_cover(content: bytes, records: list[ShardRecord], regions: list[DamagedRegion]) -> None:
    """Records and regions are in order and cover every byte once."""
    spans = sorted([(each.offset, each.length) for each in (*records, *regions)])
    assert [offset for offset, _ in spans] == [0, *accumulate(length for _, length in spans)][:-1]
    assert sum(length for _, length in spans) == len(content)
    assert [each.offset for each in records] == sorted(each.offset for each in records)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, places=PLACES, order=ORDERS)
@example(records=THREE, places=[(12 / 95, bytes([20 + 32]))], order=("id", "image")).via("swallows a whole record")
@example(records=THREE, places=[(12 / 95, bytes([20 + 64]))], order=("id", "image")).via("swallows all that follow")
@example(records=THREE, places=[(12 / 95, bytes([20 + 1]))], order=("id", "image")).via("swallows a first byte")
@example(records=THREE, places=[(12 / 95, bytes([20 + 7]))], order=("id", "image")).via("swallows a head")
@example(records=THREE, places=[(12 / 95, bytes([20 + 13]))], order=("id", "image")).via("swallows both keys")
@example(records=THREE, places=[(12 / 95, bytes([3]))], order=("id", "image")).via("is too short")
@example(records=THREE, places=[(0.0, b"\xdf\xff\xff\xff\xff")], order=("id", "image")).via("counts four billion")
def test_overwritten_bytes_cost_only_their_own_records(
    tmp_path: Path, records: Records, places: list[tuple[float, bytes]], order: tuple[str, str]
) -> None:
    pieces = packed(records, order)
    ends = list(accumulate(map(len, pieces)))
    starts = [0, *ends[:-1]]
    content = bytearray(b"".join(pieces))
    for where, junk in places:
        at = round(where * (len(content) - 1))
        content[at : at + len(junk)] = junk[: len(content) - at]
    intact = {start: records[k] for k, (start, end) in enumerate(zip(starts, ends, strict=True))
              if content[start:end] == pieces[k]}  # fmt: skip
    found, regions = salvage(tmp_path / "shard.msg", bytes(content))
    read = {record.offset: (record.photo_id, record.image) for record in found}
    assert {start: read.get(start) for start in intact} == intact
    assert set(read) <= set(starts)
    check_cover(bytes(content), found, regions)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, where=st.floats(0, 1), lost=st.integers(0, 60), junk=st.binary(max_size=60))
def test_lost_and_added_bytes_cost_only_their_own_records(
    tmp_path: Path, records: Records, where: float, lost: int, junk: bytes
) -> None:
    pieces = packed(records)
    whole = b"".join(pieces)
    at = round(where * len(whole))
    content = whole[:at] + junk + whole[at + lost :]
    ends = list(accumulate(map(len, pieces)))
    before = [record for record, end in zip(records, ends, strict=True) if end <= at]
    after = [record for record, piece, end in zip(records, pieces, ends, strict=True) if end - len(piece) >= at + lost]
    found, regions = salvage(tmp_path / "shard.msg", content)
    read = [(record.photo_id, record.image) for record in found]
    assert read[: len(before)] == before
    assert read[len(read) - len(after) :] == after
    assert len(read) <= len(records) + (not lost)
    check_cover(content, found, regions)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS)
def test_a_sound_shard_is_read_the_same_with_and_without_skipping(tmp_path: Path, records: Records) -> None:
    found, regions = salvage(tmp_path / "shard.msg", b"".join(packed(records)))
    assert found == list(iterate_shard(tmp_path / "shard.msg"))
    assert regions == []


def test_a_region_says_where_it_is_and_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "shard.msg"
    pieces = packed([("1", b"x" * 40), ("2", b"y" * 40), ("3", b"z" * 40)])
    found, regions = salvage(path, pieces[0] + b"\xc1" + pieces[1][1:] + pieces[2])
    assert [record.photo_id for record in found] == ["1", "3"]
    size = len(pieces[0])
    assert [str(region) for region in regions] == [
        f"{path}: {size} damaged bytes at byte {size}: byte 0xc1 begins no object"
    ]


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\x10\x00\x00\x00"])
def test_a_damaged_length_asks_for_no_memory(tmp_path: Path, length: bytes) -> None:
    head = b"\x82\xa2id\xa11\xa5image\xc6"
    content = head + length + b"x" * 100_000 + b"".join(packed([("2", b"y" * 1000)] * 50))
    tracemalloc.start()
    found, regions = salvage(tmp_path / "shard.msg", content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 50
    assert regions[0].length == len(head) + 4 + 100_000
    assert peak < 2 * len(content)


def test_a_record_longer_than_any_may_be_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_format, "MAX_RECORD_BYTES", 100)
    path = tmp_path / "shard.msg"
    path.write_bytes(b"".join(packed([("1", b"x"), ("2", b"x" * 200)])))
    with pytest.raises(DamagedRecordError, match="it is 214 bytes long"):
        list(iterate_shard(path))


OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=40)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@given(value=OBJECTS, after=st.binary(max_size=5))
def test_the_end_of_any_object_is_that_of_a_real_packer(value: object, after: bytes) -> None:
    content = msgpack.packb(value)
    assert object_end(content + after, 0) == len(content)
    for cut in range(len(content)):
        with pytest.raises(ValueError, match="the file ends inside it"):
            object_end(content[:cut], 0)


@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_every_size_of_a_length_is_understood(size: int) -> None:
    for value in (b"x" * size, "x" * size, [1] * size, dict.fromkeys(range(size), 1), msgpack.ExtType(1, b"x" * size)):
        content = msgpack.packb(value)
        assert object_end(b"\x00" + content + b"\x00", 1) == len(content) + 1


def test_the_end_is_found_in_a_mapped_file(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(msgpack.packb({"a": [1, 2]}))
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        assert object_end(content, 0) == len(content)
