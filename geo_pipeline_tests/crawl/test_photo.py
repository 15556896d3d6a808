"""From any bytes to an upright sRGB JPEG, against Pillow's own idea of the pixels."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from geo_pipeline.crawl.photo import RefusedPictureError, store_picture
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.shards.manifest import Status
from geo_pipeline_tests.crawl.servers import picture

SETTINGS = CrawlSettings(image_size=320, quality=95, min_side=32)


def encode(image: Image.Image, picture_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, picture_format, **options)
    return buffer.getvalue()


def stored(body: bytes, settings: CrawlSettings = SETTINGS) -> Image.Image:
    kept = store_picture(body, settings)
    image = Image.open(io.BytesIO(kept.jpeg))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (kept.width, kept.height))
    return image


def scene(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A smooth picture in which every corner looks different."""
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8))


def difference(a: Image.Image, b: Image.Image) -> float:
    """Mean absolute difference in levels of 0 to 255."""
    assert a.size == b.size
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b.convert("RGB"), np.float64)).mean())


def refused(body: bytes, settings: CrawlSettings = SETTINGS) -> Status:
    with pytest.raises(RefusedPictureError) as caught:
        store_picture(body, settings)
    assert caught.value.source_sha256 == hashlib.sha256(body).hexdigest()
    return caught.value.status


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_every_common_format_is_stored_with_its_pixels(picture_format: str) -> None:
    assert difference(stored(encode(scene(), picture_format)), scene()) < 4


def test_the_hashes_are_those_of_the_body_and_of_the_stored_picture() -> None:
    body = picture(3)
    kept = store_picture(body, SETTINGS)
    assert kept.source_sha256 == hashlib.sha256(body).hexdigest()
    assert kept.image_sha256 == hashlib.sha256(kept.jpeg).hexdigest()


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1200, 900), (427, 320)), ((900, 1200), (320, 427)), ((320, 320), (320, 320)), ((80, 60), (80, 60))],
)
def test_the_short_side_is_at_most_the_image_size_and_nothing_is_enlarged(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    original = scene(size)
    image = stored(encode(original, "JPEG", quality=95))
    assert image.size == expected
    assert difference(image, original.resize(expected, Image.Resampling.LANCZOS)) < 2.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(96, 64), (700, 400)])
def test_exif_orientation_is_applied(orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = encode(scene(size), "JPEG", quality=95, exif=exif)
    with Image.open(io.BytesIO(body)) as plain:
        upright = ImageOps.exif_transpose(plain)
    image = stored(body)
    assert difference(image, upright.resize(image.size, Image.Resampling.LANCZOS)) < 3


@pytest.mark.parametrize("has_profile", [False, True])
def test_no_metadata_survives(has_profile: bool) -> None:
    profile = wide_gamut() if has_profile else None
    exif = Image.Exif()
    exif[0x010E] = "SECRET"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.6)
    body = encode(
        scene(), "JPEG", exif=exif, comment=b"SECRET", xmp=b"<x>SECRET</x>", dpi=(301, 301), icc_profile=profile
    )
    assert b"SECRET" in body
    kept = store_picture(body, SETTINGS).jpeg
    with Image.open(io.BytesIO(kept)) as image:
        assert not image.getexif()
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert image.info.get("jfif_density") == (1, 1)
    assert b"SECRET" not in kept
    assert b"ICC_PROFILE" not in kept


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_does_not_cost_the_photo() -> None:
    body = encode(scene(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff broken")
    assert difference(stored(body), scene()) < 4


def wide_gamut() -> bytes:
    """An ICC profile whose channels are rotated against sRGB: red is stored where green stands (a matrix profile)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    tags = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile)


@pytest.mark.parametrize("size", [(96, 64), (700, 400)])
def test_an_icc_profile_is_converted_to_srgb(size: tuple[int, int]) -> None:
    red, green, blue = scene(size).split()
    swapped = Image.merge("RGB", (green, red, blue))
    image = stored(encode(swapped, "PNG", icc_profile=wide_gamut()))
    assert difference(image, scene(size).resize(image.size, Image.Resampling.LANCZOS)) < 4


def test_a_damaged_icc_profile_counts_as_none() -> None:
    assert difference(stored(encode(scene(), "PNG", icc_profile=b"no profile")), scene()) < 3


def test_cmyk_is_converted() -> None:
    assert difference(stored(encode(scene().convert("CMYK"), "JPEG", quality=95)), scene()) < 4


def test_gray_and_one_bit_pictures_become_three_channels() -> None:
    gray = scene().convert("L")
    assert difference(stored(encode(gray, "JPEG", quality=95)), gray) < 3
    bits = Image.new("1", (64, 64), 1)
    assert difference(stored(encode(bits, "PNG")), bits) < 1


def test_sixteen_bits_keep_their_brightness() -> None:
    gray = np.asarray(scene().convert("L"))
    deep = Image.fromarray(gray.astype(np.uint16) * 257)
    assert difference(stored(encode(deep, "PNG")), Image.fromarray(gray)) < 3
    assert difference(stored(encode(deep, "TIFF")), Image.fromarray(gray)) < 3


def test_palette_and_alpha_show_white_where_they_are_transparent() -> None:
    layer = scene((64, 64)).convert("RGBA")
    layer.putalpha(Image.new("L", (64, 64), 0))
    white = Image.new("RGB", (64, 64), "white")
    assert difference(stored(encode(layer, "PNG")), white) < 1
    assert difference(stored(encode(layer, "WEBP", lossless=True)), white) < 1
    palette = Image.new("P", (64, 64), 0)
    palette.putpalette([255, 0, 0])
    assert difference(stored(encode(palette, "GIF", transparency=0)), white) < 1
    assert difference(stored(encode(palette, "PNG")), palette) < 2


def test_the_first_frame_of_an_animation_is_stored() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    body = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert difference(stored(body), frames[0]) < 3


def test_junk_after_the_end_is_ignored() -> None:
    assert store_picture(picture() + b"junk" * 100, SETTINGS).jpeg == store_picture(picture(), SETTINGS).jpeg


@pytest.mark.parametrize("body", [b"<!doctype html><title>no</title>", b"\x00" * 100, b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_picture_is_refused(body: bytes) -> None:
    assert refused(body) is Status.NOT_AN_IMAGE


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_half_a_picture_is_corrupt(picture_format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8))
    body = encode(noise, picture_format)
    assert refused(body[: len(body) // 2]) is Status.CORRUPT


@pytest.mark.parametrize(("size", "status"), [((1, 1), Status.TOO_SMALL), ((5000, 10), Status.TOO_SMALL)])
def test_too_small_pictures_are_refused(size: tuple[int, int], status: Status) -> None:
    assert refused(picture(size=size)) is status


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_a_bomb_is_refused_by_its_header_alone(side: int) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\x00" * 1000)), (b"IEND", b"")]
    body = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    assert refused(body) is Status.BOMB


def test_a_known_placeholder_is_refused() -> None:
    body = picture(9)
    settings = CrawlSettings(placeholder_sha256=(hashlib.sha256(body).hexdigest(),))
    assert refused(body, settings) is Status.PLACEHOLDER
    assert store_picture(picture(8), settings)
