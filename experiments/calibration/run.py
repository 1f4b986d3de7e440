"""How often the tests of this package are wrong where there is nothing, and how often its intervals hold the truth.

    python experiments/calibration/run.py [--runs 10000] [--seed 0]

Writes `results.json` beside this file and the tables between the markers of its README. Needs neither sounds nor a
network: clips are simulated, and half of their variance is their cluster's.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from audiointerp.collect import rewrite
from audiointerp.provenance import package_versions
from audiointerp.report.cells import markdown
from audiointerp.statistics.calibration import coverage, false_positives
from audiointerp.study import write_atomically

FOLDER = Path(__file__).resolve().parent
TOLERANCE = 0.01
"""How far a share may lie from its nominal value and still hold; the standard error of 10,000 simulations is 0.002."""


def judge(row: pd.Series) -> str:
    """Says whether a share is where it should be; a test may find too little, an interval may hold too often."""
    if np.isnan(row["observed"]):
        return "no interval"
    above = row["observed"] - row["nominal"]
    if abs(above) <= TOLERANCE:
        return "holds"
    if row["measure"] == "coverage":
        return "too narrow" if above < 0 else "cautious"
    return "too many" if above > 0 else "cautious"


def table(rows: pd.DataFrame) -> str:
    """Draws the rows of one measure as Markdown."""
    columns = ["what", "setting", "nominal", "observed", "standard error", "simulations", ""]
    return markdown(
        columns,
        [
            [row.test, row.setting, f"{row.nominal:.3f}", f"{row.observed:.3f}", f"{row.standard_error:.4f}", row.runs]
            + [row.outcome]
            for row in rows.itertuples()
        ],
    )


def tables(frame: pd.DataFrame, seconds: dict[str, float]) -> str:
    """Draws all tables: sound tests, sound intervals, and what ignores the clusters on purpose."""
    parts = []
    for title, measure, valid in (
        ("False positives at .05", "false positives", True),
        ("Coverage of 95 % intervals", "coverage", True),
        ("What goes wrong when clusters, shared training data or other tests are ignored", None, False),
    ):
        rows = frame[(frame["valid"] == valid) & ((frame["measure"] == measure) | (measure is None))]
        parts += [f"**{title}.**", table(rows)]
    parts.append(f"Simulated in {seconds['false positives']:.0f} + {seconds['coverage']:.0f} s on one core.")
    return "\n\n".join(parts)


def main() -> None:
    """Simulates, writes results.json, and redraws the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, help="simulations per row")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    parts, seconds = [], {}
    for name, simulate in (("false positives", false_positives), ("coverage", coverage)):
        begin = time.process_time()
        parts.append(simulate(given.runs, seed=given.seed))
        seconds[name] = round(time.process_time() - begin, 1)
    frame = pd.concat(parts, ignore_index=True)
    frame = frame.assign(outcome=frame.apply(judge, axis=1))
    record = {
        "experiment": "calibration",
        "runs": given.runs,
        "seed": given.seed,
        "seconds": seconds,
        "packages": {name: package_versions()[name] for name in ("python", "audiointerp", "numpy", "scipy", "pandas")},
        "table": json.loads(frame.to_json(orient="records")),
    }
    readme = FOLDER / "README.md"
    redrawn = rewrite(readme.read_text(encoding="utf-8"), tables(frame, seconds))
    write_atomically(FOLDER / "results.json", json.dumps(record, indent=1) + "\n")
    write_atomically(readme, redrawn)
    print(frame.to_string())


if __name__ == "__main__":
    main()
