"""What a crawl costs, against img2dataset and against the bare steps without a policy.

Peer: img2dataset 1.47.0 in an environment of its own (made at the first run), with its best settings. Floor: a
prototype that downloads, decodes, resizes, encodes and appends, and nothing else. All download the same photos (100 to
150 KB, around 640 pixels) from one server on this machine, in turn, with equal settings; the script fails unless they
stored the same ids at the same sizes. Claims, for two cores:

- http: at least 1.4 times img2dataset's photos a second, at most 0.72 of its processor time;
- `--https`: at least 2 times its photos a second on Python 3.12, 8 times on 3.11 (which reads all certificates anew for
  each connection);
- at least 0.9 of the prototype's photos a second;
- at most 300 MB of memory for 20,000 photos, at most 450 MB to plan a list of 4.7 million (`--plan-rows 4700000`).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crawling.checking import check_sizes, expected_sizes, mean_psnr
from crawling.contenders import (
    OURS,
    PEER,
    PROTOTYPE,
    Contender,
    Job,
    peer,
    peer_python,
    plan_command,
    version_of,
)
from crawling.measuring import Cost, Run, cost_of
from crawling.photos import make_photos
from crawling.server import Server, served

PEER_FOLDER = Path("~/.cache/geo_pipeline").expanduser()
DISTINCT_PHOTOS = 256
FEW_PHOTOS = 16
TRIAL_PHOTOS = 2000
TRIED_CONCURRENCY = (16, 32, 64, 128)

FIGURES: Mapping[str, Callable[[Run], float]] = {
    "photos/s": lambda run: run.photos_per_second,
    "steady": lambda run: run.steady_photos_per_second,
    "CPU s/1,000": lambda run: run.cpu_per_thousand,
    "steady CPU": lambda run: run.steady_cpu_per_thousand,
    "peak MB": lambda run: run.megabytes,
}
"""What is printed of a run; steady is without what starting and ending cost."""


def main() -> None:
    """Measure and print."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="crawl-", dir=options.folder) as folder:
        if options.plan_rows:
            measure_plan(options.plan_rows, Path(folder))
        else:
            compare(options, Path(folder))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Our crawl, img2dataset and the bare steps, side by side.")
    parser.add_argument("--photos", type=int, default=20_000, help="photos in the list (default: 20000)")
    parser.add_argument("--pairs", type=int, default=3, help="how often each one runs (default: 3)")
    parser.add_argument("--https", action="store_true", help="over TLS, with a certificate made for the occasion")
    parser.add_argument("--image-size", type=int, default=320, help="short side of stored pictures (default: 320)")
    parser.add_argument("--quality", type=int, default=95, help="JPEG quality of stored pictures (default: 95)")
    parser.add_argument("--concurrency", type=int, help="requests at once (default: what is best for img2dataset)")
    parser.add_argument("--no-peer", action="store_true", help="leave img2dataset out")
    parser.add_argument("--peer-python", default=sys.executable, help="Python for img2dataset: a version or a path")
    parser.add_argument("--peer-folder", type=Path, default=PEER_FOLDER, help=f"of its environments ({PEER_FOLDER})")
    parser.add_argument("--folder", type=Path, help="where photos are written meanwhile (default: the system's)")
    parser.add_argument("--plan-rows", type=int, help="only measure planning a list of so many rows")
    return parser


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Run the contenders in turn and print the ratios."""
    contenders = [OURS, PROTOTYPE]
    version = "none"
    if not options.no_peer:
        python = peer_python(options.peer_python, options.peer_folder)
        version = version_of(python)
        contenders.append(peer(python))
    photos = make_photos(DISTINCT_PHOTOS)
    with served(DISTINCT_PHOTOS, folder, _environment(), is_secure=options.https) as server:
        bench = Bench(folder, server, photos, options.image_size, options.quality)
        concurrency = options.concurrency or bench.best_concurrency(contenders[-1])
        print(f"{options.photos} photos over {server.scheme}, {concurrency} requests at once, {os.cpu_count()} cores")
        print(f"ours on Python {version_of(Path(sys.executable))}, {PEER} on {version}\n{_HEADS}", flush=True)
        runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
        for _ in range(options.pairs):
            for contender in contenders:
                runs[contender.name].append(bench.run(contender, options.photos, concurrency))
                print(_line(contender.name, runs[contender.name][-1:]), flush=True)
        decibels = {contender.name: bench.mean_psnr(contender) for contender in contenders}
    print_result(runs, decibels, claims(server.scheme, version))


def claims(scheme: str, version: str) -> dict[tuple[str, str], str]:
    """What is claimed of our ratio to a contender in a figure; img2dataset runs on Python `version`."""
    rate, cpu = "at least 1.4", "at most 0.72"
    if scheme == "https":
        rate, cpu = "at least 8" if version.startswith("3.11.") else "at least 2", ""
    return {
        ("img2dataset", "photos/s"): rate,
        ("img2dataset", "steady"): rate,
        ("img2dataset", "CPU s/1,000"): cpu,
        ("img2dataset", "steady CPU"): cpu,
        (PROTOTYPE.name, "photos/s"): "at least 0.9",
        (PROTOTYPE.name, "steady"): "at least 0.9",
    }


def _environment() -> dict[str, str]:
    """Of every process: the code beside this script, no proxies, and no look for a newer version of albumentations."""
    here = Path(__file__).resolve().parent
    path = os.pathsep.join([str(here), str(here.parent)])
    return os.environ | {"PYTHONPATH": path, "no_proxy": "*", "NO_ALBUMENTATIONS_UPDATE": "1"}


@dataclass(frozen=True)
class Bench:
    """One server of some photos, one folder for everything that is written, and what is equal for all."""

    folder: Path
    server: Server
    photos: Sequence[bytes]
    image_size: int
    quality: int

    def run(self, contender: Contender, num_photos: int, concurrency: int) -> Run:
        """A run with few photos and one with all of them, each checked for what it stored."""
        start = self._checked(contender, FEW_PHOTOS, concurrency)
        return Run(num_photos, self._checked(contender, num_photos, concurrency), FEW_PHOTOS, start)

    def best_concurrency(self, contender: Contender) -> int:
        """The number of requests at once that makes a contender quickest."""
        rates = {}
        for concurrency in TRIED_CONCURRENCY:
            rates[concurrency] = self.run(contender, TRIAL_PHOTOS, concurrency).steady_photos_per_second
            print(f"{contender.name}, {concurrency} at once: {rates[concurrency]:.0f} photos/s (steady)", flush=True)
        return max(rates, key=rates.__getitem__)

    def mean_psnr(self, contender: Contender) -> float:
        """How near a contender's pictures come to Pillow's, in decibels."""
        originals = dict(zip(_photo_ids(len(self.photos)), self.photos, strict=True))
        with self._downloaded(contender, len(originals), max(TRIED_CONCURRENCY)) as (_, output):
            return mean_psnr(contender.stored(output), originals)

    def _checked(self, contender: Contender, num_photos: int, concurrency: int) -> Cost:
        """The cost of a download that stored every photo at its size."""
        with self._downloaded(contender, num_photos, concurrency) as (cost, output):
            expected = expected_sizes(_photo_ids(num_photos), self.photos, self.image_size)
            check_sizes(contender.name, contender.stored(output), expected)
            return cost

    @contextmanager
    def _downloaded(self, contender: Contender, num_photos: int, concurrency: int) -> Iterator[tuple[Cost, Path]]:
        """(cost, folder) of a download into a new folder, which is deleted afterwards."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            url_csv, output = Path(folder) / "urls.csv", Path(folder) / "output"
            rows = [f"{photo_id},{self.server.url(n)}\n" for n, photo_id in enumerate(_photo_ids(num_photos))]
            url_csv.write_text("image_id,url\n" + "".join(rows))
            job = Job(url_csv, num_photos, self.server.origin, self.image_size, self.quality, concurrency)
            environment = _environment() | self.server.environment
            yield cost_of(contender.command(job, output), environment, Path(folder) / "log"), output


def _photo_ids(count: int) -> list[str]:
    """Ids that no reader takes for numbers."""
    return [f"photo{number:08d}" for number in range(count)]


def _line(name: str, runs: Sequence[Run]) -> str:
    """The medians of some runs, under `_HEADS`."""
    return f"{name:>14}" + "".join(f"{statistics.median(map(figure, runs)):>13.4g}" for figure in FIGURES.values())


_HEADS = " " * 14 + "".join(f"{name:>13}" for name in FIGURES)


def print_result(
    runs: Mapping[str, Sequence[Run]], decibels: Mapping[str, float], claimed: Mapping[tuple[str, str], str]
) -> None:
    """Medians of each contender, and the ratios of the first one to the others pair by pair."""
    ours, *others = runs
    print(f"\nmedians of {len(runs[ours])}; dB: how near the pictures are to Pillow's antialiased ones")
    print(f"{_HEADS}{'dB':>13}")
    for name, own in runs.items():
        print(f"{_line(name, own)}{decibels[name]:>13.4g}")
    peak = max(run.megabytes for run in runs[ours])
    print(f"highest peak of {ours}: {peak:.0f} MB; claim: at most 300 for 20,000 photos")
    for other in others:
        print(f"\n{ours} / {other}, pair by pair")
        for name, figure in FIGURES.items():
            ratios = sorted(figure(mine) / figure(theirs) for mine, theirs in zip(runs[ours], runs[other], strict=True))
            text = f"{name:>14}: median {statistics.median(ratios):.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}"
            print(text + (f"; claim: {claim}" if (claim := claimed.get((other, name))) else ""))


def measure_plan(num_rows: int, folder: Path) -> None:
    """What it takes to plan a long list, without a request."""
    url_csv = folder / "urls.csv"
    with url_csv.open("w") as stream:
        stream.write("image_id,url\n")
        for number in range(num_rows):
            name = f"{number:010d}_{number * 7919:010x}"
            stream.write(f"{name},https://live.example.org/{number % 9000}/{name}.jpg\n")
    cost = cost_of(plan_command(url_csv, folder / "output"), _environment(), folder / "log")
    print((folder / "log").read_text().strip())
    megabytes = cost.peak_bytes / 1e6
    print(f"a plan of {num_rows} rows took {cost.wall_seconds:.1f} s and {megabytes:.0f} MB; claim: at most 450 MB")


if __name__ == "__main__":
    main()
