"""The three that download the same list: our command, the bare prototype and img2dataset.

Here live their command lines, with equal settings, and reading what each of them stored. The one idea: img2dataset gets
its best settings: a process for each core, work cut small enough that no process waits for another at the end, no EXIF
reading (we store none), and the number of threads that was found to be its best.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet

from geo_pipeline.shards.format import iterate_shard

PEER = "img2dataset==1.47.0"


@dataclass(frozen=True)
class Job:
    """A list of photos, how they are stored, and how many are asked for at once."""

    url_csv: Path
    num_photos: int
    origin: str
    image_size: int
    quality: int
    concurrency: int


@dataclass(frozen=True)
class Contender:
    """`command(job, folder)` downloads into a new folder; `stored(folder)` are the ids and JPEGs found there."""

    name: str
    command: Callable[[Job, Path], list[str]]
    stored: Callable[[Path], Iterator[tuple[str, bytes]]]


def our_command(job: Job, folder: Path) -> list[str]:
    """`geo-pipeline download`, as polite as it comes, but for the connections to the one origin."""
    return [
        *(sys.executable, "-m", "geo_pipeline.cli", "download"),
        *("--url-csv", str(job.url_csv), "--output", str(folder), "--allow-origin", job.origin),
        *("--image-size", str(job.image_size), "--quality", str(job.quality), "--retries", "0"),
        *("--concurrency", str(job.concurrency), "--per-host", str(job.concurrency)),
    ]


def our_stored(folder: Path) -> Iterator[tuple[str, bytes]]:
    """From our shards."""
    for shard in sorted(folder.rglob("shard-*.msg")):
        for record in iterate_shard(shard):
            yield record.photo_id, record.image


def prototype_command(job: Job, folder: Path) -> list[str]:
    """The bare steps."""
    return [
        *(sys.executable, "-m", "crawling.prototype"),
        *("--url-csv", str(job.url_csv), "--output", str(folder)),
        *("--image-size", str(job.image_size), "--quality", str(job.quality)),
        *("--concurrency", str(job.concurrency)),
    ]


def peer(python: Path) -> Contender:
    """img2dataset in the environment of `python`."""

    def command(job: Job, folder: Path) -> list[str]:
        processes = os.cpu_count() or 1
        threads = max(1, job.concurrency // processes)
        per_shard = min(10_000, math.ceil(job.num_photos / (2 * processes)))
        return [
            str(python.with_name("img2dataset")),
            *(f"--url_list={job.url_csv}", "--input_format=csv", "--url_col=url"),
            *("--save_additional_columns=['image_id']", f"--output_folder={folder}", "--output_format=webdataset"),
            *(f"--processes_count={processes}", f"--thread_count={threads}", f"--number_sample_per_shard={per_shard}"),
            *(f"--image_size={job.image_size}", "--resize_mode=keep_ratio", "--resize_only_if_bigger=True"),
            *(f"--encode_quality={job.quality}", "--extract_exif=False", "--timeout=20", "--retries=0"),
        ]

    return Contender("img2dataset", command, peer_stored)


def peer_stored(folder: Path) -> Iterator[tuple[str, bytes]]:
    """From img2dataset's tar files, by the ids in the tables beside them."""
    for table in sorted(folder.glob("*.parquet")):
        ids = pyarrow.parquet.read_table(table, columns=["key", "image_id"]).to_pydict()
        names = dict(zip(ids["key"], ids["image_id"], strict=True))
        with tarfile.open(table.with_suffix(".tar")) as archive:
            for member in archive:
                if member.name.endswith(".jpg"):
                    yield names[member.name.removesuffix(".jpg")], archive.extractfile(member).read()


OURS = Contender("geo-pipeline", our_command, our_stored)
PROTOTYPE = Contender("prototype", prototype_command, our_stored)


def plan_command(url_csv: Path, folder: Path) -> list[str]:
    """`geo-pipeline download` of a list without a request."""
    command = [sys.executable, "-m", "geo_pipeline.cli", "download", "--dry-run"]
    return [*command, "--url-csv", str(url_csv), "--output", str(folder)]


def peer_python(python: str, folder: Path) -> Path:
    """The Python of an environment with img2dataset, made in `folder` if it is not there yet.

    `python` is a version or a path, as `uv venv --python` takes it.
    """
    environment = folder / f"{PEER.replace('==', '-')}-python-{re.sub(r'[^0-9A-Za-z.]+', '-', python).strip('-')}"
    interpreter = environment / "bin" / "python"
    if not interpreter.with_name("img2dataset").exists():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, environment], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", interpreter, PEER], check=True)
    return interpreter


def version_of(python: Path) -> str:
    """The version of a Python, such as 3.12.1."""
    code = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
