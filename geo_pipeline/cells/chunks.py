"""Working through long columns in chunks, on all cores.

Here lives the one loop over chunks. Not here: what is computed of a chunk. The one idea: numpy lets other threads run
while it computes, and a chunk that stays in the cache costs no memory; who calls must make sure that the result does
not depend on which thread takes which chunk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

CACHED_ROWS = 1 << 13
"""Rows of a chunk of which a dozen columns stay in the second-level cache."""


def num_threads() -> int:
    """How many threads work at once: one for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(num_rows: int, work: Callable[[Iterator[slice]], T], chunk_rows: int = CACHED_ROWS) -> list[T]:
    """What each thread makes of its chunks, which it takes from a common supply (each row belongs to one chunk)."""
    chunks = [slice(start, min(start + chunk_rows, num_rows)) for start in range(0, num_rows, chunk_rows)]
    supply = iter(chunks)  # taking the next item of a list is one step: no two threads get the same
    workers = max(1, min(num_threads(), len(chunks)))
    if workers == 1:
        return [work(supply)]
    with ThreadPoolExecutor(workers) as pool:
        return [future.result() for future in [pool.submit(work, supply) for _ in range(workers)]]
