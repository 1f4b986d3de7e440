"""Puts the runs of several tasks together: one table of front ends, distances between tasks, filters drawn.

    python experiments/strf/compare.py outputs/strf_calls/RUN outputs/strf_speakers/RUN ...

Draws the page of the comparison into outputs/strf, writes `tables/`, `figures/` and `comparison.json` beside this file,
and the tables of the README.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from audiointerp import sweep
from audiointerp.collect import fill
from audiointerp.report.cells import markdown, number
from audiointerp.report.modulation_tables import with_ends
from audiointerp.study import SweepRun, write_atomically

HERE = Path(__file__).resolve().parent
KEPT = ("fronts", "differences", "populations", "displacement", "tonotopy", "harmonicity", "ablation", "tuning")


def name_of(run: SweepRun) -> str:
    """Names a run by task and protocol."""
    published = run.record["config"].get("protocol") == "published"
    return str(run.record["experiment"]).removeprefix("strf_") + ("_published" if published else "")


def fronts_table(runs: Sequence[SweepRun]) -> str:
    """One row per front end, one column per task: the first measure with its interval."""
    columns = {}
    for run in runs:
        results = run.record["results"]
        measure, chance = results["task"]["measure"], results["task"]["chance"]
        head = f"{name_of(run).replace('_', ' ')}: {measure.replace('_', ' ')}, {results['sounds']['name']}"
        rows = {row["front"]: with_ends(row, "mean") for row in results["fronts"] if row["measure"] == measure}
        columns[head] = {**rows, "chance": number(chance)}
    fronts = dict.fromkeys(name for column in columns.values() for name in column)
    rows = [[name, *(column.get(name, "-") for column in columns.values())] for name in fronts]
    return markdown(["front end", *columns], rows)


def distances_table(folder: Path) -> str:
    """The distances between tasks, and the contrast of voices and calls where both were run."""
    results = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["results"]
    rows = [
        [row["pair"].replace(" | ", " and "), with_ends(row, "distance"), number(row["other_seeds"])]
        + [number(row["between_seeds"]), number(row["p"]), number(row["shuffled"]), number(row["sounds"])]
        for row in results["task_distances"]
    ]
    columns = ["tasks", "distance", "other seeds", "seeds of one task", "p", "labels shuffled", "sounds"]
    parts = [markdown(columns, rows)]
    contrast = results.get("voices_beside_calls", [])
    if contrast:
        rows = [[row["distance"], with_ends(row, "mean"), row["seeds"]] for row in contrast]
        parts.append(markdown(["distance", "mean", "seeds"], rows))
    rows = [
        [row["task"], row["filters"], with_ends(row, "obliqueness"), row["seeds"]] for row in results["obliqueness"]
    ]
    parts.append(markdown(["task", "filters", "mean obliqueness", "seeds"], rows))
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compares and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--page", type=Path, default=Path("outputs/strf"), help="where the page goes")
    given = parser.parse_args(arguments)
    print(sweep.compare(given.page, given.runs))
    runs = sweep.finished(given.runs, "runs")
    for run in runs:
        for table in KEPT:
            target = HERE / "tables" / name_of(run) / f"{table}.csv"
            target.parent.mkdir(parents=True, exist_ok=True)
            frame = pd.read_csv(run.folder / "tables" / f"{table}.csv", keep_default_na=False)
            frame.to_csv(target, index=False, lineterminator="\n", float_format="%.5g")
        (HERE / "figures").mkdir(exist_ok=True)
        for figure in ("filters", "modulation"):
            shutil.copyfile(run.folder / "figures" / f"{figure}.png", HERE / "figures" / f"{name_of(run)}_{figure}.png")
    for name in ("task_distances", "voices_beside_calls", "obliqueness"):
        if (given.page / "tables" / f"{name}.csv").is_file():
            shutil.copyfile(given.page / "tables" / f"{name}.csv", HERE / "tables" / f"{name}.csv")
    comparison = (given.page / "comparison.json").read_text(encoding="utf-8")
    write_atomically(HERE / "comparison.json", comparison)
    fill(HERE / "README.md", fronts_table(runs), "fronts")
    fill(HERE / "README.md", distances_table(given.page), "distances")


if __name__ == "__main__":
    main()
