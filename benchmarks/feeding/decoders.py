"""Which decoder is the fastest: each from a JPEG's bytes to RGB pixels, in one thread.

The one idea: a table for the choice in geo_pipeline/model/decoding.py; a decoder that is not installed is left out.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from importlib import import_module

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

ROUNDS = 15


def _torchcodec(encoded: bytes) -> object:
    codec = import_module("torchcodec.decoders")
    return codec.decode_jpeg(torch.frombuffer(bytearray(encoded), dtype=torch.uint8), mode="RGB")


def _opencv(encoded: bytes) -> object:
    cv2 = import_module("cv2")
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


DECODERS: Mapping[str, Callable[[bytes], object]] = {
    "simplejpeg": simplejpeg.decode_jpeg,
    "torchvision.io": lambda encoded: decode_jpeg(
        torch.frombuffer(bytearray(encoded), dtype=torch.uint8), mode=ImageReadMode.RGB
    ),
    "torchcodec": _torchcodec,
    "OpenCV": _opencv,
    "Pillow": lambda encoded: np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")),
}


def microseconds(photos: list[bytes]) -> dict[str, float]:
    """Processor time of a photo by decoder, of the quickest of some rounds in which they take turns."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, decode in DECODERS.items():
            begun = time.thread_time()
            try:
                for encoded in photos:
                    decode(encoded)
            except ImportError:
                continue
            best[name] = min(best.get(name, np.inf), 1e6 * (time.thread_time() - begun) / len(photos))
    return best
