"""Picture files of every sort, good and broken, as they turn up in people's folders."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SHAPE = (60, 90)  # height, width


def scene(shape: tuple[int, int] = SHAPE) -> Image.Image:
    """A smooth picture in which every corner has a colour of its own."""
    y, x = np.linspace(0, 1, shape[0])[:, None], np.linspace(0, 1, shape[1])[None, :]
    channels = [200 * x + 20 + 0 * y, 200 * y + 20 + 0 * x, 180 * (1 - x) * y + 40]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def with_orientation(image: Image.Image, orientation: int) -> bytes:
    """A JPEG that has to be turned, whose upright form is `image`."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image.transpose(undo[orientation]), "JPEG", quality=95, exif=exif)


def sixteen_bits() -> bytes:
    """A gray PNG of 16 bits: its upper half is dark, its lower half bright."""
    values = np.full(SHAPE, 0x2000, np.uint16)
    values[SHAPE[0] // 2 :] = 0xC000
    return encoded(Image.fromarray(values), "PNG")


def announcing(png: bytes, width: int, height: int) -> bytes:
    """The same file with a header that announces another size."""
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def good_files() -> dict[str, bytes]:
    """Names and contents of files that all show `scene`."""
    image = scene()
    frames = [Image.new("RGB", image.size, "red")]
    return {
        "plain.jpg": encoded(image, "JPEG", quality=95),
        "PLAIN.JPEG": encoded(image, "JPEG", quality=95, progressive=True),
        "a/b/c/deep.png": encoded(image, "PNG"),
        "some.webp": encoded(image, "WEBP", quality=95),
        "some.bmp": encoded(image, "BMP"),
        "some.tiff": encoded(image, "TIFF"),
        "some.gif": encoded(image, "GIF"),
        "animated.gif": encoded(image, "GIF", save_all=True, append_images=frames),
        "animated.webp": encoded(image, "WEBP", quality=95, save_all=True, append_images=frames),
        "print.jpg": encoded(image.convert("CMYK"), "JPEG", quality=95),
        "clear.png": encoded(image.convert("RGBA"), "PNG"),
        "few colours.png": encoded(image.quantize(256), "PNG"),
        **{f"turned {k}.jpg": with_orientation(image, k) for k in range(2, 9)},
    }


def broken_files() -> dict[str, bytes]:
    """Names and contents of files that give no picture."""
    jpeg, png = encoded(scene(), "JPEG"), encoded(scene(), "PNG")
    return {
        "empty.jpg": b"",
        "text.jpg": b"<html>404</html>",
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": png[: len(png) // 2],
        "cut.webp": encoded(scene(), "WEBP")[:200],
        "header only.jpg": jpeg[:20],
        "strip.png": encoded(Image.new("RGB", (2000, 2)), "PNG"),
        "bomb.png": announcing(png, 30_000, 30_000),
        "photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
    }


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
