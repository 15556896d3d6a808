"""What importing the definitions costs, against `import dagster` alone: every step of every run pays it.

Floor: `import dagster`. Claim: at most 2.2 times as long, without torch, cv2, lightning or pandas. Runs both in turn,
each in a process of its own, and prints the ratio pair by pair.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

PAIRS = 7


def seconds(module: str) -> float:
    """Wall time of a Python process that imports one module."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    seconds("geo_pipeline.definitions"), seconds("dagster")  # bytecode is compiled, files are in the cache
    pairs = [(seconds("geo_pipeline.definitions"), seconds("dagster")) for _ in range(PAIRS)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    print(f"import geo_pipeline.definitions: {ours:.2f} s, import dagster: {theirs:.2f} s (medians of {PAIRS})")
    print(
        f"ratio: median {statistics.median(ratios):.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}; claim: at most 2.2"
    )


if __name__ == "__main__":
    main()
