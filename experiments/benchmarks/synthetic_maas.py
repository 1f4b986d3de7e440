"""How many clips of synthetic MaAS are rendered per second, by number of threads.

    python experiments/benchmarks/synthetic_maas.py [--clips 2400] [--out FOLDER]

Writes `synthetic_maas.json` and the table in this folder's README: clips per second of wall clock and of processor,
and the seconds that the paper's 60,000 clips take at that speed. Processor time tells what a quiet machine does where
others compute beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path

import numpy as np

from audiointerp.data.synthetic_maas import VERSION, SyntheticMaAS
from audiointerp.study import peak_rss_mb

PAPER = 60_000


def measure(clips: int, threads: int) -> dict:
    """Renders all clips once in batches of 64, as extraction does."""
    sounds = SyntheticMaAS(clips=clips, keep_mb=0, threads=threads)
    sounds.waveforms(np.arange(24))
    before = resource.getrusage(resource.RUSAGE_SELF)
    begin = time.perf_counter()
    for start in range(0, clips, 64):
        sounds.waveforms(np.arange(start, min(start + 64, clips)))
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_SELF)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "threads": threads,
        "clips_per_second": round(clips / wall, 1),
        "clips_per_processor_second": round(clips / busy, 1),
        "cores_busy": round(busy / wall, 2),
        "seconds_for_60000": round(PAPER * wall / clips, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2400, help="a multiple of 24")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder with README.md, for the numbers"
    )
    arguments = parser.parse_args()
    begin = time.perf_counter()
    built = SyntheticMaAS(clips=PAPER, objects=250)
    built.fingerprint  # noqa: B018 - what is measured is that it renders nothing
    record = {
        "synthesis": VERSION,
        "cores": os.cpu_count(),
        "seconds_to_build_60000": round(time.perf_counter() - begin, 2),
        "runs": [measure(arguments.clips, threads) for threads in (1, 2)],
        "load_average": round(os.getloadavg()[0], 2),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }
    print(json.dumps(record, indent=1))
    write(record, arguments.out)


def write(record: dict, folder: Path) -> None:
    """Writes the numbers, and the table between the markers of the README."""
    from results import keep

    rows = [list(run.values()) for run in record["runs"]]
    header = [name.replace("_", " ") for name in record["runs"][0]]
    note = f"{record['cores']} cores, load average {record['load_average']}, peak RSS {record['peak_rss_mb']} MB."
    keep(folder, "synthetic_maas", record, header, rows, note)


if __name__ == "__main__":
    main()
