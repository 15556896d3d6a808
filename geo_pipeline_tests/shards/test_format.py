"""The shard format against MessagePack itself and against every way a file can be cut."""

from __future__ import annotations

import io
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_pipeline.shards.format import DamagedRecordError, ShardWriter, iterate_shard

RECORDS = [("a/b/1.jpg", b"\xff\xd8first"), ("zwei-ü", b""), ("3", bytes(range(256)) * 40)]


def write(path: Path, records: list[tuple[str, bytes]]) -> list[tuple[int, int]]:
    with ShardWriter(path) as writer:
        return [writer.append(photo_id, image) for photo_id, image in records]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=300)), max_size=8))
def test_what_is_written_is_read_back_in_order(tmp_path: Path, records: list[tuple[str, bytes]]) -> None:
    path = tmp_path / "shard.msg"
    path.unlink(missing_ok=True)
    places = write(path, records)
    found = list(iterate_shard(path))
    assert [(record.photo_id, record.image) for record in found] == records
    assert [(record.offset, record.length) for record in found] == places


def test_any_messagepack_reader_reads_a_shard(tmp_path: Path) -> None:
    path = tmp_path / "shard.msg"
    write(path, RECORDS)
    unpacker = msgpack.Unpacker(io.BytesIO(path.read_bytes()))
    assert list(unpacker) == [{"id": photo_id, "image": image} for photo_id, image in RECORDS]


def test_offset_and_length_span_exactly_one_record(tmp_path: Path) -> None:
    path = tmp_path / "shard.msg"
    places = write(path, RECORDS)
    content = path.read_bytes()
    for (photo_id, image), (offset, length) in zip(RECORDS, places, strict=True):
        assert msgpack.unpackb(content[offset : offset + length]) == {"id": photo_id, "image": image}
    assert sum(length for _, length in places) == len(content)


@pytest.mark.parametrize("use_bin_type", [True, False])
def test_shards_of_other_writers_are_read(tmp_path: Path, use_bin_type: bool) -> None:
    path = tmp_path / "foreign.msg"
    records = [{"image": b"\xff\xd8\xff\x00\x9f", "id": "x", "label": 7}, {"id": "y", "image": b"plain"}]
    path.write_bytes(b"".join(msgpack.packb(record, use_bin_type=use_bin_type) for record in records))
    assert [(r.photo_id, r.image) for r in iterate_shard(path)] == [(r["id"], r["image"]) for r in records]


def test_opening_at_a_byte_cuts_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "shard.msg"
    places = write(path, RECORDS)
    with ShardWriter(path, start=places[2][0]) as writer:
        writer.append("new", b"image")
        writer.sync()
    assert [record.photo_id for record in iterate_shard(path)] == [RECORDS[0][0], RECORDS[1][0], "new"]


def test_a_file_cut_anywhere_yields_its_whole_records_and_names_the_broken_one(tmp_path: Path) -> None:
    path = tmp_path / "shard.msg"
    records = [*RECORDS[:2], ("3", b"short")]
    places = write(path, records)
    content = path.read_bytes()
    ends = [offset + length for offset, length in places]
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        whole = sum(end <= cut for end in ends)
        reading = iterate_shard(path)
        assert [next(reading).photo_id for _ in range(whole)] == [photo_id for photo_id, _ in records[:whole]]
        if cut in {0, *ends}:
            assert next(reading, None) is None
        else:
            broken_at = ends[whole - 1] if whole else 0
            with pytest.raises(DamagedRecordError, match=f"damaged record at byte {broken_at}:"):
                next(reading)


@pytest.mark.parametrize("junk", [b"\xc1", b"\x07", msgpack.packb({"id": 3, "image": b""}), msgpack.packb(["id"])])
def test_a_record_that_is_no_photo_is_named(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "shard.msg"
    end = sum(write(path, RECORDS)[-1])
    path.write_bytes(path.read_bytes() + junk)
    with pytest.raises(DamagedRecordError, match=f"at byte {end}"):
        list(iterate_shard(path))
