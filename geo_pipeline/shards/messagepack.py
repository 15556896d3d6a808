"""Where a MessagePack object ends, found without unpacking it (github.com/msgpack/msgpack, spec.md).

Not here: what the objects mean (format.py). The one idea: a damaged length must cost neither memory nor trust, so
every length is held against the bytes that are really there before anything is read.
"""

from __future__ import annotations

import mmap
from typing import Final, NamedTuple

MAX_ITEMS = 1_000_000
"""No object holds more objects: a damaged count of elements must not take minutes."""


class _Kind(NamedTuple):
    """What follows a first byte.

    `size` bytes in any case, of which `width` bytes after the first are a big-endian number: of elements, if each of
    them is `items_each` objects, else of further bytes. `items` further objects in any case.
    """

    size: int
    width: int = 0
    items: int = 0
    items_each: int = 0


def _kinds() -> dict[int, _Kind]:
    """The kinds by first byte; 0xc1 begins no object."""
    kinds = {first: _Kind(1) for first in (*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3)}
    for count in range(16):
        kinds[0x80 + count], kinds[0x90 + count] = _Kind(1, items=2 * count), _Kind(1, items=count)
    for count in range(32):
        kinds[0xA0 + count] = _Kind(1 + count)
    for power in range(4):
        kinds[0xCC + power] = kinds[0xD0 + power] = _Kind(1 + 2**power)  # integers
    for power in range(3):
        width = 2**power
        kinds[0xC4 + power] = kinds[0xD9 + power] = _Kind(1 + width, width)  # bytes and texts
        kinds[0xC7 + power] = _Kind(2 + width, width)  # extensions
    for power in range(5):
        kinds[0xD4 + power] = _Kind(2 + 2**power)  # extensions of fixed size
    for power, width in enumerate((2, 4)):
        kinds[0xDC + power] = _Kind(1 + width, width, items_each=1)  # arrays
        kinds[0xDE + power] = _Kind(1 + width, width, items_each=2)  # maps
    return kinds | {0xCA: _Kind(5), 0xCB: _Kind(9)}  # floats


_KINDS: Final = _kinds()


def object_end(content: bytes | mmap.mmap, offset: int) -> int:
    """The byte after the object that begins at `offset`.

    Raises ValueError if no object begins there, or if the content ends inside it.
    """
    missing, total = 1, 1
    while missing:
        kind = _KINDS.get(content[offset]) if offset < len(content) else None
        if kind is None:
            raise ValueError("the file ends inside it" if offset >= len(content) else "byte 0xc1 begins no object")
        missing += kind.items - 1
        if kind.width:
            number = int.from_bytes(content[offset + 1 : offset + 1 + kind.width])
            missing += number * kind.items_each
            offset += 0 if kind.items_each else number
        offset += kind.size
        total += 1
        if total + missing > MAX_ITEMS:
            raise ValueError(f"it holds more than {MAX_ITEMS:,} objects")
    if offset > len(content):
        raise ValueError("the file ends inside it")
    return offset
