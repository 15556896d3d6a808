"""Random numbers without a state: a function of a seed and a counter.

The one idea: whoever knows the counters has the numbers, in any order, in any process, for a whole batch at once; a
generator for each photo costs as much as decoding a small one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = 0xFFFFFFFF

Words = npt.NDArray[np.uint64]


def philox_4x32(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> Words:
    """uint64[4, …]: four random 32-bit words for each counter of four 32-bit words, which broadcast.

    Source: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3; Philox-4x32 with ten rounds.
    """
    a, b, c, d = np.broadcast_arrays(*counter)
    low, high = key
    for _ in range(_ROUNDS):
        first, second = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (second >> 32) ^ b ^ low, second & _LOW, (first >> 32) ^ d ^ high, first & _LOW
        low, high = (low + _KEY_STEPS[0]) & _LOW, (high + _KEY_STEPS[1]) & _LOW
    return np.stack([a, b, c, d])


def uniform_numbers(seed: int, epoch: int, rows: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """float64[count, n], at least 0 and below 1: `count` independent numbers for each row in an epoch.

    Seeds are told apart up to 2^64, epochs and rows up to 2^32.
    """
    blocks = np.arange(-(-count // 4), dtype=np.uint64)[:, None]
    counter = (rows.astype(np.uint64), blocks, np.uint64(epoch), np.uint64(0))
    words = philox_4x32(counter, (seed & _LOW, seed >> 32 & _LOW))  # type: ignore[arg-type] # scalars broadcast too
    return words.transpose(1, 0, 2).reshape(4 * len(blocks), len(rows))[:count] * np.float64(2.0**-32)
