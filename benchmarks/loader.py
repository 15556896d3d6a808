"""How fast photos are fed, beside a bare loop, webdataset and litdata, and what a worker takes in memory.

    python benchmarks/loader.py [--rounds N]

Floor: a loop over records in memory that decodes and crops. Peers: webdataset and litdata on the same photos, each in
its own format and with the settings of its documentation; the same decoder, the same filter, the same crops, which
they get for nothing while our loader computes them. The script asserts that all yield the same pixels for each photo.

Claims, for photos of 320 pixels that become 224 and of 80 that become 64, per core: at least 0.8 of the bare loop, at
least 1.2 times webdataset, at least 1.0 times litdata; a worker takes at most 250 MB beyond torch, with 4.7 million
photos as with few.

Per core means per second of processor time, of this process and all that it has started (Linux); with one worker the
clock is told beside it, for a machine that is quiet. Contenders take turns, each counts by its quickest epoch, workers
started and files read before.

The peers are no dependencies of ours; they need an environment of their own that sees ours:

    uv venv ~/peers --python .venv/bin/python
    realpath .venv/lib/python3.*/site-packages > $(echo ~/peers/lib/python3.*/site-packages)/ours.pth
    uv pip install --python ~/peers/bin/python --no-deps webdataset litdata braceexpand boto3 botocore s3transfer \
        jmespath torchcodec
    ~/peers/bin/python benchmarks/loader.py

What is not installed is left out. It runs as it is on a machine with a GPU.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from feeding.contenders import Formats, contenders
from feeding.decoders import microseconds
from feeding.memory import torch_alone, worker_of_a_long_list
from feeding.photos import CASES, Case, photo
from torch import Tensor

CLAIMS = {"bare loop": 0.8, "webdataset": 1.2, "litdata": 1.0}
MAX_WORKER_MEGABYTES = 250

Contenders = Mapping[str, Iterable[tuple[Tensor, Tensor]]]


def clocks() -> np.ndarray:
    """Seconds of processors, in this process and those below it, and of the clock."""
    return np.array([time.process_time() + seconds_below(os.getpid()), time.perf_counter()])


def seconds_below(pid: int) -> float:
    """Processor time of all processes that a process has started, directly or not."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return sum(seconds_of(int(child)) + seconds_below(int(child)) for child in children)


def seconds_of(pid: int) -> float:
    """Processor time of a process."""
    user, system = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def photos_per_second(feed: Iterable[tuple[Tensor, Tensor]]) -> np.ndarray:
    """Of one epoch, by processor time and by the clock."""
    begun = clocks()
    num_photos = sum(rows.numel() for _, rows in feed)
    return num_photos / (clocks() - begun)


def by_row(feed: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """uint8[photos, 3, s, s] of an epoch in the order of the rows."""
    images, rows = zip(*((images, rows.reshape(-1)) for images, rows in feed), strict=True)
    pixels = torch.cat([each.reshape(-1, *each.shape[-3:]) for each in images])
    return pixels[torch.cat(rows).argsort()]


def require_equal(feeds: Contenders) -> None:
    """Raise AssertionError unless all yield every photo once, with the same pixels."""
    ours = by_row(feeds["ours"])
    for name, feed in feeds.items():
        assert torch.equal(by_row(feed), ours), f"{name} yields other pixels"


def compared(case: Case, formats: Formats, num_workers: int, rounds: int) -> None:
    """Measure and print one case."""
    feeds = contenders(case, formats, num_workers)
    require_equal(feeds)
    turns = [{name: photos_per_second(feed) for name, feed in feeds.items()} for _ in range(rounds)]
    rates = {name: np.max([turn[name] for turn in turns], axis=0) for name in feeds}
    where = "one worker" if num_workers else "in this process"
    told = ", ".join(f"{name} {core:,.0f} ({clock:,.0f})" for name, (core, clock) in rates.items())
    print(f"{case.name}, {where}, photos per second of a core (of the clock): {told}")
    for name, claim in CLAIMS.items():
        if name in rates:
            core, clock = rates["ours"] / rates[name]
            print(f"  {core:.2f} of {name} ({clock:.2f} by the clock; claim: at least {claim})")


def decoders(case: Case, photos: list[bytes]) -> None:
    """Print the table of decoders."""
    times = sorted(microseconds(photos).items(), key=lambda item: item[1])
    print(f"{case.size[0]} x {case.size[1]} px decoded: " + ", ".join(f"{name} {us:.0f} µs" for name, us in times))


def memory() -> None:
    """Print what a worker takes."""
    with TemporaryDirectory() as folder:
        resident, private = worker_of_a_long_list(Path(folder))
    alone = torch_alone()
    print(
        f"a worker at 4.7 million photos: {resident:.0f} MB resident, {private:.0f} MB its own; "
        f"{resident - alone:.0f} MB beyond torch's {alone:.0f} (claim: at most {MAX_WORKER_MEGABYTES})"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How fast photos are fed.")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each contender, of which the best counts")
    rounds = parser.parse_args().rounds
    os.environ["LITDATA_DISABLE_VERSION_CHECK"] = "1"  # it would ask the package index
    torch.set_num_threads(1)
    for case in CASES:
        photos = [photo(case.size, seed) for seed in range(case.num_photos)]
        decoders(case, photos[:50])
        with TemporaryDirectory() as folder:
            formats = Formats.written(photos, Path(folder))
            for num_workers in (0, 1):
                compared(case, formats, num_workers, rounds)
    memory()


if __name__ == "__main__":  # workers import this file
    main()
