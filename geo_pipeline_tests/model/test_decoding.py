from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geo_pipeline.model.decoding import UndecodableError, decode, divisor_for, picture_size, reduced


def natural(width: int, height: int, seed: int = 1) -> Image.Image:
    """A picture whose details fade as those of photos do."""
    random = np.random.default_rng(seed)
    levels = [(random.integers(0, 256, (2 << i, 2 << i, 3)), 0.5**i) for i in range(5)]
    layers = [np.asarray(Image.fromarray(a.astype(np.uint8)).resize((width, height)), float) * w for a, w in levels]
    return Image.fromarray((sum(layers) / sum(w for _, w in levels)).astype(np.uint8))


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_every_format_becomes_the_rgb_pixels_that_pillow_finds(form: str, mode: str) -> None:
    image = natural(50, 30).convert(mode if form == "JPEG" or mode != "CMYK" else "RGB")
    content = encoded(image, form)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert picture_size(content) == (50, 30)
    np.testing.assert_allclose(decode(content).astype(int), expected, atol=2)


@settings(max_examples=40, deadline=None)
@given(st.integers(16, 90), st.integers(16, 90), st.sampled_from([1, 2, 4, 8]), st.sampled_from(["JPEG", "PNG"]))
def test_a_divisor_gives_the_picture_reduced(width: int, height: int, divisor: int, form: str) -> None:
    image = natural(width, height)
    content = encoded(image, form, quality=95)
    pixels = decode(content, divisor)
    assert pixels.shape == (reduced(height, divisor), reduced(width, divisor), 3)
    whole = Image.open(io.BytesIO(content)).convert("RGB")
    assert np.abs(pixels - np.asarray(whole.reduce(divisor), float)).mean() < 4


@pytest.mark.parametrize("divisor", [1, 2])
def test_a_jpeg_that_the_fast_decoder_refuses_has_the_same_size(divisor: int) -> None:
    content = encoded(natural(50, 31).convert("CMYK"))
    assert decode(content, divisor).shape == (reduced(31, divisor), reduced(50, divisor), 3)


@pytest.mark.parametrize("divisor", [1, 2])
def test_half_a_picture_is_refused(divisor: int) -> None:
    content = encoded(natural(80, 80), quality=95)
    with pytest.raises(UndecodableError, match="truncated"):
        decode(content[: len(content) // 2], divisor)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0"])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(UndecodableError):
        picture_size(content)
    with pytest.raises(UndecodableError):
        decode(content)


def test_bytes_between_segments_do_no_harm_because_pillow_reads_over_them() -> None:
    content = encoded(natural(40, 40), quality=95)
    end = content.rindex(b"\xff\xd9")
    padded = content[:end] + b"\x00\x00" + content[end:]
    np.testing.assert_array_equal(decode(padded), decode(content))


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UndecodableError, match="decompression bomb"):
        decode(encoded(natural(40, 40)))


@given(st.floats(1, 2000), st.integers(1, 500))
def test_a_divisor_leaves_what_is_needed_and_the_next_one_would_not(available: float, needed: int) -> None:
    divisor = divisor_for(available, needed)
    assert divisor == 1 or available / divisor >= needed
    assert divisor == 8 or available / (2 * divisor) < needed
