"""A folder of picture files, as people have them: any depth, any common format, some of them broken.

Here live finding the files and reading one as the network's crops need it. Not here: photos in shards
(stored_photos.py) and the crops (preprocessing.py). The one idea: a file that cannot be used is a sentence in a list
and never an end, and what a file may cost in memory is known from its header before anything is decoded.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from PIL import Image, UnidentifiedImageError

from geo_pipeline.errors import InputError
from geo_pipeline.model.decoding import decode
from geo_pipeline.pixels import any_format
from geo_pipeline.pixels.colour import to_srgb

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif"})
"""What the names of pictures end in; everything else in a folder is passed over."""

MAX_DECODE_BYTES = 512_000_000
"""A picture that takes more memory is listed instead of decoded (89 megapixels are Pillow's own limit)."""

MAX_SIDE_RATIO = 32
"""The same of a strip so long and narrow that its short side could only be blown up."""

_MAX_PLAIN_PIXELS = 16_000_000
_SPARE = 2  # how much larger than the network's short side a picture still is after the first reduction
_ORIENTATION_TAG = 0x0112  # EXIF 2.32, section 4.6.4
_UPRIGHT: Mapping[int, Image.Transpose] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)


class BrokenPictureError(Exception):
    """A file that gives no pixels; the message says why, for the list of errors."""


def find_pictures(folder: Path) -> list[str]:
    """Paths below a folder of all files that are called like pictures, in order, hidden ones left out.

    Raises InputError if the folder is absent or holds none.
    """
    if not folder.is_dir():
        found = "a file, expected a folder" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {found}; give the folder that holds the pictures")
    names = sorted(_picture_names(folder))
    if not names:
        endings = ", ".join(sorted(ENDING.removeprefix(".") for ENDING in ENDINGS))
        raise InputError(f"{folder}: no picture in it or below it; expected files that end in {endings}")
    return names


def photo_ids_of(names: Sequence[str]) -> list[str]:
    """The photo id of each file: its path below the folder without the ending.

    Files that differ in nothing but the ending (`a.jpg`, `a.png`) keep it, so that each has an id of its own.
    """
    bare = [str(PurePosixPath(name).with_suffix("")) for name in names]
    counts = Counter(bare)
    return [name if counts[photo_id] > 1 else photo_id for name, photo_id in zip(names, bare, strict=True)]


class PictureFiles:
    """The pictures of a folder by their place in a list of names. Picklable."""

    def __init__(self, folder: Path, names: Sequence[str], short_side: int) -> None:
        """`short_side`: what the network's pictures are resized to, pixels."""
        self._folder, self._names, self._short_side = folder, list(names), short_side

    def __len__(self) -> int:
        return len(self._names)

    def image(self, row: int) -> Image.Image:
        """The picture of a row, RGB and upright. Raises BrokenPictureError."""
        return read_picture(self._folder / self._names[row], self._short_side)


def read_picture(path: Path, short_side: int) -> Image.Image:
    """A picture file as RGB in sRGB, upright; the first frame of an animation; large ones reduced while decoding.

    A plain JPEG becomes the very pixels that it would have as a stored photo. Of all others what is decoded has a
    short side of at least twice `short_side`, if the file has. Raises BrokenPictureError for anything that gives no
    pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _read(path, short_side)
    except BrokenPictureError:
        raise
    except UnidentifiedImageError as error:
        raise BrokenPictureError(_unidentified(path)) from error
    except Exception as error:  # whatever a decoder raises on hostile bytes means that it cannot read them
        raise BrokenPictureError(f"{type(error).__name__}: {error}") from error


def _picture_names(folder: Path) -> list[str]:
    return [
        (Path(place) / name).relative_to(folder).as_posix()
        for place, folders, files in os.walk(folder)
        for name in files
        if Path(name).suffix.lower() in ENDINGS and not name.startswith(".") and _not_hidden(folders)
    ]


def _not_hidden(folders: list[str]) -> bool:
    """Keep a walk out of hidden folders (`os.walk` goes into what is left in the list)."""
    folders[:] = [name for name in folders if not name.startswith(".")]
    return True


def _read(path: Path, short_side: int) -> Image.Image:
    if not path.stat().st_size:
        raise BrokenPictureError("an empty file")
    with Image.open(path, formats=_formats()) as image:
        orientation = _orientation(image)
        _guard(image, short_side)
        if _is_plain_jpeg(image, orientation):
            return Image.fromarray(decode(path.read_bytes()))
        profile = image.info.get("icc_profile")
        pixels = to_srgb(any_format.decode(image, _reduced_size(image.size, short_side)), profile)
    return pixels.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else pixels


@cache
def _formats() -> tuple[str, ...]:
    """Pillow's names of the formats that can be read here; HEIC where pillow-heif is installed."""
    try:
        import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return any_format.FORMATS
    return (*any_format.FORMATS, "HEIF")


def _unidentified(path: Path) -> str:
    """Why Pillow recognises nothing in a file."""
    if path.suffix.lower() in {".heic", ".heif"} and "HEIF" not in _formats():
        return "HEIC needs a decoder: pip install 'geo_pipeline[heic]'"
    with path.open("rb") as stream:
        return f"no picture begins {stream.read(16)!r}"


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 if there is none or the EXIF block is damaged (which does not spoil the pixels)."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 -- as in `read_picture`
        return 1


def _guard(image: Image.Image, short_side: int) -> None:
    """Refuse by what the header announces, before anything is decoded."""
    width, height = image.size
    if max(image.size) > MAX_SIDE_RATIO * min(image.size):
        raise BrokenPictureError(f"too narrow: {width} x {height} pixels")
    held = any_format.bytes_to_decode(image, _reduced_size(image.size, short_side))
    if held > MAX_DECODE_BYTES:
        raise BrokenPictureError(f"too large: {width} x {height} pixels take {held / 1e6:,.0f} MB to decode")


def _is_plain_jpeg(image: Image.Image, orientation: int) -> bool:
    """Whether a picture is like a stored photo: of its size, and nothing but 8-bit samples to be taken as they are."""
    if image.format != "JPEG" or image.mode not in {"RGB", "L"} or image.width * image.height > _MAX_PLAIN_PIXELS:
        return False
    return orientation not in _UPRIGHT and "icc_profile" not in image.info


def _reduced_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(width, height) with a short side of at most twice what is needed; nothing is enlarged."""
    scale = min(1.0, _SPARE * short_side / min(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
