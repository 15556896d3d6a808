"""What a photo costs from its bytes to the stored JPEG, and how good it is, beside img2dataset's steps.

Floor: the bare steps (simplejpeg's decode, low-pass and cubic interpolation, OpenCV's encode, SHA-256) without guards,
EXIF, profiles or anything that can be refused. Peer: the OpenCV calls of img2dataset 1.47 (decode everything,
INTER_AREA, encode) without its own checks. Quality: PSNR of the stored picture against Pillow's bicubic and Lanczos
resizes of the whole picture.

Claims, for ordinary photos (about 640 px, 100 to 150 KB): at most 1.15 times the floor, at most 0.85 of the peer's CPU,
and no further from Pillow than the peer. The photos are Blue Marble with added texture; all ways take turns on the
same photos in one thread, and each counts by its quickest round.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from geo_pipeline.crawl import jpeg
from geo_pipeline.crawl.geometry import shrink
from geo_pipeline.crawl.photo import store_picture
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.world.views import blue_marble

SETTINGS = CrawlSettings(image_size=320, quality=90)
SIZES = {(640, 480): 120, (640, 427): 110, (640, 640): 150, (500, 375): 90, (1024, 768): 250, (2048, 1536): 900}
"""Kilobytes of a photo of each size (width, height)."""

ORDINARY = ((640, 480), (640, 427), (640, 640), (500, 375))
PHOTOS = 6
ROUNDS = 12
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "Lanczos": Image.Resampling.LANCZOS}


def photo(size: tuple[int, int], kilobytes: int, seed: int) -> bytes:
    """A JPEG of at most so many kilobytes: a place of Blue Marble with texture whose spectrum is that of photos."""
    rng = np.random.default_rng(seed)
    width, height = size
    left = int(rng.integers(blue_marble().width - width))
    top = int(rng.integers(blue_marble().height - height))
    ground = np.asarray(blue_marble().crop((left, top, left + width, top + height)), np.float32)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    texture = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / frequency, s=(height, width))
    pixels = ground + 14 * texture[..., None] / texture.std() + rng.normal(scale=3, size=ground.shape)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return next(body for quality in range(96, 0, -2) if len(body := encoded(image, quality)) <= 1000 * kilobytes)


def encoded(image: Image.Image, quality: int) -> bytes:
    """A JPEG by Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def ours(body: bytes, _: tuple[int, int]) -> bytes:
    """What the crawl does."""
    return store_picture(body, SETTINGS).jpeg


def floor(body: bytes, size: tuple[int, int]) -> bytes:
    """The same steps and nothing else."""
    height, width = simplejpeg.decode_jpeg_header(body)[:2]
    divisor = jpeg.divisor_for((width, height), size)
    pixels = simplejpeg.decode_jpeg(body, fastupsample=True, min_width=width // divisor, min_height=height // divisor)
    stored = jpeg.encode(shrink(pixels, size, (width / divisor, height / divisor)), SETTINGS.quality)
    hashlib.sha256(body), hashlib.sha256(stored)
    return stored


def peer(body: bytes, size: tuple[int, int]) -> bytes:
    """img2dataset's calls of OpenCV."""
    pixels = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", resized, (cv2.IMWRITE_JPEG_QUALITY, SETTINGS.quality))[1].tobytes()


def milliseconds(way: Callable[[bytes, tuple[int, int]], bytes], bodies: list[bytes], size: tuple[int, int]) -> float:
    """CPU of one photo, averaged over some photos."""
    begun = time.process_time()
    for body in bodies:
        way(body, size)
    return (time.process_time() - begun) / len(bodies) * 1000


def psnr(stored: bytes, reference: Image.Image) -> float:
    """Peak signal-to-noise ratio in decibels."""
    with Image.open(io.BytesIO(stored)) as image:
        error = np.mean((np.asarray(image, np.float64) - np.asarray(reference, np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error))


def quality(bodies: list[bytes], size: tuple[int, int]) -> str:
    """Our and the peer's PSNR against each filter of Pillow, averaged over some photos."""
    words = []
    for name, resampling in FILTERS.items():
        references = [Image.open(io.BytesIO(body)).resize(size, resampling) for body in bodies]
        pairs = list(zip(bodies, references, strict=True))
        we, they = (np.mean([psnr(way(body, size), reference) for body, reference in pairs]) for way in (ours, peer))
        words.append(f"{name} {we:.2f} / {they:.2f} dB")
    return ", ".join(words)


def main() -> None:
    """Measure and print."""
    print("CPU ms of a photo: ours, floor, peer; ratios ours/floor, ours/peer; PSNR ours / peer")
    ratios = []
    for size, kilobytes in SIZES.items():
        bodies = [photo(size, kilobytes, seed) for seed in range(PHOTOS)]
        with Image.open(io.BytesIO(ours(bodies[0], size))) as image:
            stored = image.size
        rounds = [[milliseconds(way, bodies, stored) for way in (ours, floor, peer)] for _ in range(ROUNDS)]
        us, bare, them = np.min(rounds, axis=0)
        if size in ORDINARY:
            ratios.append((us / bare, us / them))
        mean_kilobytes = sum(map(len, bodies)) / len(bodies) / 1000
        print(
            f"{size[0]} x {size[1]}, {mean_kilobytes:.0f} KB: {us:.2f}, {bare:.2f}, {them:.2f}; {us / bare:.2f}, "
            f"{us / them:.2f}; {quality(bodies, stored)}"
        )
    to_floor, to_peer = np.mean(ratios, axis=0)
    print(f"ordinary photos: {to_floor:.2f} of the floor (claim: at most 1.15)")
    print(f"ordinary photos: {to_peer:.2f} of the peer (claim: at most 0.85)")


if __name__ == "__main__":
    main()
