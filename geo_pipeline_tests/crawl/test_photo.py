"""From any bytes to an upright sRGB JPEG, against Pillow's own idea of the pixels."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from geo_pipeline.crawl import photo
from geo_pipeline.crawl.photo import RefusedPictureError, store_picture
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.shards.manifest import Status
from geo_pipeline_tests.crawl.servers import picture
from geo_pipeline_tests.crawl.textures import encoded as encode
from geo_pipeline_tests.crawl.textures import psnr, textured

SETTINGS = CrawlSettings(image_size=320, quality=95, min_side=32)


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


@pytest.mark.parametrize("picture_format", ["JPEG", "MPO", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF"])
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


@given(
    size=st.tuples(st.integers(33, 1100), st.integers(33, 1100)),
    sampling=st.sampled_from(["444", "422", "420", "440", "411", "Gray"]),
    orientation=st.integers(1, 8),
)
@settings(max_examples=60, deadline=None)
def test_any_common_jpeg_is_stored_as_pillow_would(size: tuple[int, int], sampling: str, orientation: int) -> None:
    original = textured(size, sum(size))
    pixels = np.asarray(original.convert("L"))[..., None] if sampling == "Gray" else np.asarray(original)
    space = "GRAY" if sampling == "Gray" else "RGB"
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = with_exif(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 95, space, sampling), exif)
    image = stored(body)
    with Image.open(io.BytesIO(body)) as plain:
        upright = ImageOps.exif_transpose(plain).convert("RGB")
    scale = min(1.0, 320 / min(size))
    assert image.size == tuple(round(side * scale) for side in upright.size)
    expected = upright.resize(image.size, Image.Resampling.BICUBIC)
    assert psnr(image, Image.open(io.BytesIO(encode(expected, "JPEG", quality=95)))) > 32


def with_exif(jpeg: bytes, exif: Image.Exif) -> bytes:
    content = b"Exif\x00\x00" + exif.tobytes().removeprefix(b"Exif\x00\x00")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


@pytest.mark.parametrize("size", [(96, 64), (700, 400), (2003, 1501)])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_progressive_jpeg_is_stored_as_a_plain_one(size: tuple[int, int], progressive: bool) -> None:
    image = stored(encode(scene(size), "JPEG", quality=95, progressive=progressive))
    assert difference(image, scene(size).resize(image.size, Image.Resampling.LANCZOS)) < 2.5


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


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_an_icc_profile_of_a_jpeg_is_converted_after_the_reduction(mode: str) -> None:
    swapped = Image.merge("RGB", [scene((700, 400)).split()[channel] for channel in (1, 0, 2)]).convert(mode)
    image = stored(encode(swapped, "JPEG", quality=95, icc_profile=wide_gamut()))
    expected = scene((700, 400)) if mode == "RGB" else swapped  # a colour profile does not fit gray: it counts as none
    assert difference(image, expected.resize(image.size, Image.Resampling.LANCZOS)) < 4


def test_a_profile_that_means_srgb_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, tagged = (encode(textured((700, 400)), "JPEG", **options) for options in ({}, {"icc_profile": srgb}))
    assert store_picture(tagged, SETTINGS).jpeg == store_picture(plain, SETTINGS).jpeg


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


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "I;16", "CMYK"])
def test_a_picture_in_many_strips_has_no_seams(mode: str) -> None:
    size = (3001, 1999)
    gray = scene(size).convert("L")
    image = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257) if mode == "I;16" else scene(size).convert(mode)
    seen = stored(encode(image, "TIFF" if mode == "CMYK" else "PNG"))
    expected = gray if mode in {"LA", "I;16"} else scene(size)
    assert difference(seen, expected.resize(seen.size, Image.Resampling.LANCZOS)) < (8 if mode == "P" else 3)


def test_the_first_frame_of_an_animation_is_stored() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    body = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert difference(stored(body), frames[0]) < 3


@pytest.mark.parametrize("junk", [b"junk" * 100, b"\x00" * 5000, picture(7)])
def test_junk_after_the_end_is_ignored(junk: bytes) -> None:
    assert store_picture(picture() + junk, SETTINGS).jpeg == store_picture(picture(), SETTINGS).jpeg


@pytest.mark.parametrize("body", [b"<!doctype html><title>no</title>", b"\x00" * 100, b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_picture_is_refused(body: bytes) -> None:
    assert refused(body) is Status.NOT_AN_IMAGE


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_half_a_picture_is_corrupt(picture_format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8))
    body = encode(noise, picture_format)
    assert refused(body[: len(body) // 2]) is Status.CORRUPT


@pytest.mark.parametrize("size", [(200, 200), (900, 700)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_noise_inside_a_jpeg_is_corrupt(size: tuple[int, int], mode: str, progressive: bool) -> None:
    body = encode(textured(size).convert(mode), "JPEG", progressive=progressive)
    assert store_picture(body, SETTINGS)
    middle = len(body) // 2
    noise = np.random.default_rng(0).bytes(200)
    assert refused(body[:middle] + noise + body[middle + len(noise) :]) is Status.CORRUPT


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


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_a_jpeg_that_announces_too_many_pixels_is_refused_by_its_header_alone(side: int) -> None:
    body = picture()
    frame = body.index(b"\xff\xc0")
    assert refused(body[: frame + 5] + struct.pack(">HH", side, side) + body[frame + 9 :]) is Status.BOMB


@pytest.mark.parametrize(
    ("body", "bytes_per_pixel"),
    [
        (picture(size=(2000, 1500), picture_format="PNG"), 4),
        (picture(size=(2000, 1500), picture_format="WEBP", method=0), 15),
        (picture(size=(2000, 1500), progressive=True), 3),
        (picture(size=(2000, 1500), progressive=True, subsampling=0), 6),
    ],
)
def test_a_picture_that_takes_too_much_memory_is_refused_before_decoding(body: bytes, bytes_per_pixel: int) -> None:
    needed = 3_000_000 * bytes_per_pixel
    assert refused(body, SETTINGS.model_copy(update={"max_decode_bytes": needed})) is Status.BOMB
    assert store_picture(body, SETTINGS.model_copy(update={"max_decode_bytes": 2 * needed}))


def test_a_jpeg_in_one_scan_takes_little_memory_and_one_in_several_takes_much() -> None:
    body = picture(size=(2000, 1500))
    limited = SETTINGS.model_copy(update={"max_decode_bytes": 6_000_000})
    assert store_picture(body, limited)
    scan = body.index(b"\xff\xda")
    one_component_first = body[:scan] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + body[scan + 14 :]
    assert refused(one_component_first, limited) is Status.BOMB


@pytest.mark.slow
@pytest.mark.parametrize(
    "making",
    [
        'mode="RGB", picture_format="PNG"',
        'mode="RGBA", picture_format="PNG"',
        'mode="P", picture_format="PNG"',
        'mode="I;16", picture_format="PNG"',
        'mode="RGB", picture_format="TIFF", compression="tiff_lzw"',
        'mode="RGB", picture_format="WEBP", method=0, quality=50',
        'mode="RGB", picture_format="AVIF", speed=10',
        'mode="RGB", picture_format="JPEG"',
        'mode="RGB", picture_format="JPEG", progressive=True, subsampling=0',
        'mode="CMYK", picture_format="JPEG", progressive=True',
    ],
)
def test_decoding_takes_no_more_memory_than_was_foreseen(making: str, tmp_path: Path) -> None:
    body = tmp_path / "body"
    subprocess.run([sys.executable, "-c", f"{MAKE}\nmake({str(body)!r}, {making})"], check=True)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(body)], check=True, capture_output=True, text=True)
    taken, foreseen = (int(number) for number in done.stdout.split())
    assert taken <= foreseen + 8_000_000


MAKE = """
from PIL import Image
def make(path, mode, picture_format, **options):
    side = Image.linear_gradient("L").resize((4000, 3000))
    gray16 = Image.new("I;16", side.size, 700)
    image = gray16 if mode == "I;16" else Image.merge("RGB", (side, side.rotate(180), side)).convert(mode)
    image.save(path, picture_format, **options)
"""
MEASURE = """
import io, resource, sys
from pathlib import Path
from geo_pipeline.crawl import photo
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline_tests.crawl.servers import picture
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
body, settings = Path(sys.argv[1]).read_bytes(), CrawlSettings(max_decode_bytes=10**12)
for picture_format in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF"):
    photo.store_picture(picture(size=(800, 600), picture_format=picture_format), settings)
before = peak()
photo.store_picture(body, settings)
with photo._open(body, "") as image:
    print(peak() - before, photo._bytes_to_decode(body, image, photo._stored_size(image.size, 320)))
"""


@pytest.mark.parametrize(("large_bytes", "together"), [(10_000, 1), (10**9, 4)])
def test_very_large_pictures_are_decoded_one_at_a_time(
    large_bytes: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, inside, most = photo._stored_pixels, threading.Semaphore(0), []
    everyone = threading.Barrier(4)

    def counted(*arguments: Any) -> np.ndarray:
        inside.release()
        most.append(inside._value)
        time.sleep(0.05)
        inside.acquire()
        return decode(*arguments)

    def store(_: int) -> None:
        everyone.wait(10)
        store_picture(picture(), SETTINGS)

    monkeypatch.setattr(photo, "_stored_pixels", counted)
    monkeypatch.setattr(photo, "LARGE_BYTES", large_bytes)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(store, range(4)))
    assert max(most) == together


def test_a_stored_picture_is_the_same_in_every_thread() -> None:
    bodies = [encode(textured((400 + 37 * number, 700), number), "JPEG") for number in range(4)]
    alone = [store_picture(body, SETTINGS).image_sha256 for body in bodies]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda body: store_picture(body, SETTINGS).image_sha256, bodies * 5))
    assert together == alone * 5


def test_a_known_placeholder_is_refused() -> None:
    body = picture(9)
    settings = CrawlSettings(placeholder_sha256=(hashlib.sha256(body).hexdigest(),))
    assert refused(body, settings) is Status.PLACEHOLDER
    assert store_picture(picture(8), settings)
