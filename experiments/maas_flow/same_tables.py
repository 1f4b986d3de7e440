"""The same seed gives the same tables: the main job run anew, on other numbers of workers and threads.

    python experiments/maas_flow/same_tables.py [--clips 480]

Each run starts from an empty cache, with random weights; tables are compared byte by byte. Writes `same_tables.json`
and the table of the README.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from audiointerp.collect import fill
from audiointerp.report.cells import cell, markdown
from audiointerp.study import write_atomically

HERE = Path(__file__).resolve().parent
SETTINGS = (
    *("experiment=maas_flow", "backbone.weights=random", "data.objects=5", "data.keep_mb=0", "logger=none"),
    *("report=false", "device=cpu", "study.flow_seeds=2", "study.candidates=null", "study.decode.untrained=1"),
    "study.decode.permutations=99",
)
RUNS = (
    ("first", 1, 1),
    ("again", 1, 1),
    ("rendered by 2 threads", 2, 1),
    ("2 threads in torch and BLAS", 1, 2),
)


def run(folder: Path, clips: int, workers: int, threads: int) -> dict[str, bytes]:
    """Runs the main job from an empty cache; gives its tables."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    given = (f"data.clips={clips}", f"+data.threads={workers}", f"paths.cache={folder / 'cache'}", "hydra.run.dir=run")
    command = [sys.executable, "-m", "audiointerp", *SETTINGS, *given]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return {file.stem: file.read_bytes() for file in sorted((folder / "run" / "tables").glob("*.csv"))}


def largest_difference(folder: Path, other: Path, name: str) -> float:
    """Gives the largest relative difference between the numbers of one table of two runs."""
    a, b = (pd.read_csv(place / "run" / "tables" / f"{name}.csv").select_dtypes("number") for place in (folder, other))
    if a.shape != b.shape:
        return float("inf")
    gap = np.abs(a.to_numpy() - b.to_numpy()) / np.maximum(np.abs(a.to_numpy()), 1e-12)
    return float(np.nanmax(gap, initial=0.0))


def main() -> None:
    """Reads the command line, runs, compares and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=480, help="a multiple of 24")
    arguments = parser.parse_args()
    record, rows = [], []
    with tempfile.TemporaryDirectory() as scratch:
        first: dict[str, bytes] = {}
        for index, (name, workers, threads) in enumerate(RUNS):
            folder = Path(scratch) / str(index)
            folder.mkdir()
            tables = run(folder, arguments.clips, workers, threads)
            first = first or tables
            differ = [table for table in first if tables.get(table) != first[table]]
            gaps = {table: largest_difference(Path(scratch) / "0", folder, table) for table in differ}
            record.append({"run": name, "tables": len(tables), "differ": gaps, "workers": workers, "threads": threads})
            said = ", ".join(f"{table} ({cell(gap)})" for table, gap in gaps.items()) or "none"
            rows.append([name, workers, threads, len(tables), said])
    write_atomically(HERE / "same_tables.json", json.dumps({"clips": arguments.clips, "runs": record}, indent=1) + "\n")
    header = [
        "run",
        "rendering threads",
        "computing threads",
        "tables",
        "tables that differ (largest relative difference)",
    ]
    fill(HERE / "README.md", markdown(header, rows), "same")


if __name__ == "__main__":
    main()
