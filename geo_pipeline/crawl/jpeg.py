"""JPEG files to pixels and back, by libjpeg-turbo alone.

Here live the strict decoding at a reduced scale, the encoding of what is stored, and what libjpeg needs in memory.
Colour profiles, orientation and other formats are not known here. The one idea: libjpeg repairs what it cannot read
and only warns, so a warning of damaged data counts as an error.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg  # type: ignore[import-untyped]

_CORRUPT = ("Corrupt JPEG data", "Premature end of JPEG file")  # how libjpeg's warnings of damage begin (jerror.h)
_TARGETS = {"RGB": "RGB", "YCbCr": "RGB", "Gray": "GRAY"}
_SPARE = 1.5
_FEW_PIXELS = 2_000_000  # so few that the number of scans does not matter
_FRAME_BYTES = 9  # of a frame header with one component
_SOS = 0xDA
_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})  # DHT, JPG and DAC stand among the frames (ITU-T T.81, table B.1)
_ONE_PASS = frozenset({0xC0, 0xC1, 0xC9})  # baseline, extended and arithmetic sequential frames


class CorruptJpegError(ValueError):
    """libjpeg met data in a JPEG that no encoder has written."""


def divisor_for(announced: tuple[int, int], size: tuple[int, int]) -> int:
    """By how much (1, 2, 4 or 8) libjpeg reduces a picture of `announced` (width, height) that becomes `size`.

    It reduces by cutting frequencies, block by block. If little is left to shrink after that, the result is further
    from an antialiased resize of all pixels than the usual INTER_AREA is (benchmarks/pictures.py): so either nothing is
    left to do, or half as much again.
    """
    for divisor in (8, 4, 2):
        if announced == (size[0] * divisor, size[1] * divisor) or min(announced) >= _SPARE * divisor * min(size):
            return divisor
    return 1


def decode(body: bytes, announced: tuple[int, int], divisor: int) -> np.ndarray | None:
    """Pixels of a JPEG as uint8[height, width, 3] in RGB or uint8[height, width] in gray, reduced by a divisor.

    `announced` is the (width, height) that others read in the header. None for what is not for this reader: CMYK, a
    rare sampling, another announced size, or whatever libjpeg refuses for another reason than damaged data.
    Raises CorruptJpegError, for a CMYK picture too.
    """
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(body)
        if space not in _TARGETS or (width, height) != announced:
            _decode(body, "GRAY", (1, 1))  # for the warnings: Pillow does not tell them
            return None
        pixels = _decode(body, _TARGETS[space], (-(-width // divisor), -(-height // divisor)))
    except ValueError as error:
        if str(error).startswith(_CORRUPT):
            raise CorruptJpegError(str(error)) from error
        return None
    return pixels if space != "Gray" else pixels[..., 0]


def _decode(body: bytes, space: str, at_least: tuple[int, int]) -> np.ndarray:
    """uint8[height, width, channels] at the smallest scale of libjpeg that is not below a (width, height).

    Colour is spread over its pixels without smoothing (`fastupsample`): it is averaged again when the picture is
    reduced and stored, which brings it closer to the truth, not only faster (benchmarks/pictures.py).
    """
    pixels: np.ndarray = simplejpeg.decode_jpeg(
        body, space, fastupsample=True, min_width=at_least[0], min_height=at_least[1]
    )
    return pixels


def encode(pixels: np.ndarray, quality: int) -> bytes:
    """A baseline JPEG of uint8[height, width, 3] in RGB, sampled 4:2:0: a JFIF header, the pixels, nothing else.

    OpenCV's encoder and not simplejpeg's, whose quick DCT costs 0.1 dB and saves nothing.
    """
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", ordered, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return jpeg.tobytes()


def bytes_to_decode(body: bytes, announced: tuple[int, int], size: tuple[int, int]) -> int:
    """About how much memory `decode` and the resize take, seen from the header alone.

    Pixels are held twice, once filtered; of a picture in several scans libjpeg holds 2 bytes for every coefficient.
    """
    pixels = announced[0] * announced[1]
    held = 6 * pixels // divisor_for(announced, size) ** 2
    return held if pixels < _FEW_PIXELS else held + 2 * _coefficients_held(body)


def _coefficients_held(body: bytes) -> int:
    """How many coefficients libjpeg holds while it decodes: none of a picture that comes in one scan.

    Follows the markers up to the first scan (ITU-T T.81, annex B); where that fails, libjpeg fails too and holds none.
    """
    marker, frame = 0, b""
    for code, content in _segments(body):
        if 0xC0 <= code <= 0xCF and code not in _NO_FRAME:
            marker, frame = code, content
        elif code == _SOS and len(frame) >= _FRAME_BYTES:
            in_one_scan = marker in _ONE_PASS and content[:1] == frame[5:6]
            return 0 if in_one_scan else _frame_coefficients(frame)
    return 0


def _frame_coefficients(frame: bytes) -> int:
    """How many coefficients the components of a frame header (T.81, B.2.2) have together."""
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    samplings = [(code >> 4, code & 15) for code in frame[7::3]]
    whole = max(h for h, _ in samplings) * max(v for _, v in samplings)
    return height * width * sum(h * v for h, v in samplings) // max(whole, 1)


def _segments(body: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker code, content) of every segment, without those that have no content."""
    at = body.find(b"\xff", 2)
    while 0 <= at < len(body) - 4:
        code = body[at + 1]
        if code == 0xFF or code <= 0x01 or 0xD0 <= code <= 0xD8:  # padding, stuffing, TEM, RSTn and SOI
            at = body.find(b"\xff", at + (1 if code == 0xFF else 2))
            continue
        length = int.from_bytes(body[at + 2 : at + 4], "big")
        yield code, body[at + 4 : at + 2 + length]
        at = body.find(b"\xff", at + 2 + length)
