"""What a worker takes in memory when the list is as long as MP-16's (Linux).

The one idea: a worker is asked after it has worked; beyond torch is what it has more than a process that has only
imported torch.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from feeding.photos import CASES, labelled
from feeding.photos import photo as made_photo

from geo_pipeline.shards.format import ShardWriter
from geo_pipeline.training.loader import training_loader

NUM_PHOTOS = 4_723_695
NUM_SHARDS = 500


def resident_megabytes(pid: int | str = "self") -> tuple[float, float]:
    """Resident memory of a process, and the part that it shares with no other, in 10^6 bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]
    kilobytes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return kilobytes["Rss"] * 1024 / 1e6, private * 1024 / 1e6


def torch_alone() -> float:
    """Resident memory of a process that has imported torch, in 10^6 bytes."""
    code = "import torch; print(open('/proc/self/smaps_rollup').read())"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("Rss:")) * 1024 / 1e6


def worker_of_a_long_list(folder: Path) -> tuple[float, float]:
    """A worker's resident and private memory, in 10^6 bytes, after some batches of 4.7 million photos."""
    places = []
    for shard in range(NUM_SHARDS):
        with ShardWriter(folder / f"shard-{shard:03d}.msg") as writer:
            places.append(writer.append(str(shard), made_photo(CASES[1].size, shard)))
    shards = np.random.default_rng(0).integers(0, NUM_SHARDS, NUM_PHOTOS)
    photos = labelled(folder, shards, np.array(places)[shards])
    loader = training_loader(photos, CASES[1].params(num_workers=1))
    batches = iter(loader)
    for _ in range(100):
        next(batches)
    worker = loader._loader._iterator._workers[0]  # noqa: SLF001 # its process id is nowhere else
    return resident_megabytes(worker.pid)
