"""What stands in a JPEG besides its picture: files made by Pillow, and their damaged and enriched forms."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from geo_pipeline.shards.jpeg import foreign_content


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def with_segment(marker: int, payload: bytes) -> bytes:
    plain = jpeg()
    return plain[:2] + bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2) + payload + plain[2:]


EXIF = Image.Exif()
EXIF[0x010E] = "described"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"quality": 1}, {"quality": 100, "subsampling": 0}, {"restart_marker_blocks": 1}],
    ids=str,
)
def test_a_bare_picture_of_any_encoding_is_clean(mode: str, options: dict[str, Any]) -> None:
    assert foreign_content(jpeg(mode, **options)) is None


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (jpeg(exif=EXIF), "metadata (APP1, b'Exif"),
        (jpeg(icc_profile=PROFILE), "metadata (APP2, b'ICC_PR"),
        (jpeg(comment="hello"), "a comment (COM)"),
        (jpeg(xmp=b"<x:xmpmeta/>"), "metadata (APP1, b'http:/"),
        (with_segment(0xED, b"Photoshop 3.0\x00"), "metadata (APP13"),
        (with_segment(0xE0, b"JFXX\x00\x10thumbnail"), "metadata (APP0, b'JFXX"),
        (with_segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x01\x01rgb"), "metadata (APP0, b'JFIF"),
        (with_segment(0xEE, b"Adobe and more than its colours"), "metadata (APP14"),
        (with_segment(0xF0, b"who knows"), "an unknown segment (0xf0)"),
        (jpeg() + b"GPS", "3 bytes behind its end"),
        (jpeg() + jpeg(), "bytes behind its end"),
        (b"", "no JPEG"),
        (b"\x89PNG\r\n", "no JPEG: it begins with b'\\x89PNG'"),
    ],
)
def test_what_no_decoder_needs_is_named(content: bytes, found: str) -> None:
    assert (foreign_content(content) or "").startswith(found) or found in (foreign_content(content) or "")


def test_metadata_between_the_scans_is_found_as_well() -> None:
    picture = jpeg(progressive=True)
    second_scan = picture.index(b"\xff\xda", picture.index(b"\xff\xda") + 2)
    hidden = picture[:second_scan] + b"\xff\xe1\x00\x08secret" + picture[second_scan:]
    assert foreign_content(hidden) == f"metadata (APP1, b'secret') at byte {second_scan}"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_picture_cut_anywhere_is_named(progressive: bool) -> None:
    picture = jpeg(progressive=progressive)
    assert all(foreign_content(picture[:cut]) for cut in range(len(picture)))


@settings(deadline=None)
@given(where=st.floats(0, 1), junk=st.binary(max_size=20))
def test_no_bytes_break_the_walk(where: float, junk: bytes) -> None:
    picture = jpeg()
    at = round(where * len(picture))
    foreign_content(picture[:at] + junk + picture[at + len(junk) :])
