"""Puts runs of several sweeps together: scores over seeds, linear rivals, choice without labels, swaps.

    python experiments/syntone_vae/compare.py outputs/syntone_vae/sweep-* outputs/syntone_published/sweep-*

Writes `tables/*.csv` and `comparison.json` beside this file, and the tables of the README.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from audiointerp.collect import fill
from audiointerp.report.cells import cell, markdown
from audiointerp.studies.syntone_comparison import (
    BASIS,
    LINEAR,
    PAPER,
    SCORES,
    against_rivals,
    all_scores,
    choices,
    over_seeds,
    swapped,
    variants,
    verdicts,
    where,
)
from audiointerp.studies.syntone_scores import FIVE, RIGHT, SWAPPED
from audiointerp.study import SweepRun, to_plain, write_atomically
from audiointerp.sweep import runs_of

HERE = Path(__file__).resolve().parent


def named(row: pd.Series) -> str:
    """Names a configuration."""
    return row["model"] if row["model"] in LINEAR or not row["strength"] else f"{row['model']} ({row['strength']:g})"


def span(row: pd.Series, name: str) -> str:
    """Writes a mean with its interval over seeds."""
    if not np.isfinite(row[name]):
        return "-"
    known = np.isfinite(row[f"{name}_low"])
    return f"{row[name]:.3f}" + (f" [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]" if known else "")


def scores_of(table: pd.DataFrame, arguments: str, name: str, paper: bool = False) -> str:
    """Draws the paper's five metrics, a row per configuration."""
    mine = table[table["arguments"] == arguments]
    rows = []
    for _, part in mine.groupby(["model", "strength"], sort=False):
        by = part.set_index("metric").rename(index={} if arguments == SWAPPED else dict(zip(SCORES, FIVE, strict=True)))
        rows.append([named(part.iloc[0]), *(span(by.loc[metric], name) for metric in FIVE), part["n_seeds"].max()])
    chance = mine.groupby("metric")["permuted"].mean().rename(dict(zip(SCORES, FIVE, strict=True)))
    if name == "value" and arguments == RIGHT:
        rows.append(["permuted codes", *(f"{chance[metric]:.3f}" for metric in FIVE), "-"])
    if paper:
        rows += [
            [f"paper: {model}", *(f"{row[metric]:.3f}" for metric in FIVE), "-"] for model, row in PAPER.iterrows()
        ]
    return markdown(["model", *FIVE, "seeds"], rows)


def bounds(runs: Sequence[SweepRun]) -> str:
    """Draws what a network with labels reads from the models' input."""
    rows = {}
    for run in runs:
        protocol = run.record["config"]["protocol"]
        for factor, value in run.record["results"]["headline"]["upper_bound"].items():
            rows.setdefault((protocol, factor), value)
    kept = {run.record["config"]["protocol"]: run.record["results"] for run in runs}
    counted = [
        f"{protocol}: {found['distinct_inputs']} different inputs of {found['tuples']} tuples with nuisances frozen"
        for protocol, found in kept.items()
    ]
    table = markdown(["protocol", "factor", "accuracy or R^2"], [[*key, cell(value)] for key, value in rows.items()])
    return f"{'; '.join(counted)}.\n\n{table}"


def each_once(runs: Sequence[SweepRun]) -> list[SweepRun]:
    """Leaves out runs whose data, model and seed another sweep has run already."""
    kept: dict[tuple, SweepRun] = {}
    for run, variant in zip(runs, variants(runs), strict=True):
        headline = run.record["results"]["headline"]
        key = (run.record["config"]["protocol"], run.record["results"]["split"], variant)
        kept.setdefault((*key, headline["model"], headline["strength"], headline["seed"]), run)
    return list(kept.values())


def main() -> None:
    """Reads the command line, compares and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path, help="folders of sweeps")
    options = parser.parse_args()
    runs = each_once([run for sweep in options.sweeps for run in runs_of(sweep)])
    table = over_seeds(all_scores(runs))
    tables = {
        "comparison": table,
        "against_rivals": against_rivals(table),
        "choice": choices(runs, table),
        "swaps": swapped(runs),
    }
    for name, frame in tables.items():
        write_atomically(HERE / "tables" / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))
    sentences = verdicts(table, tables["against_rivals"], tables["choice"])
    record = {name: frame.to_dict("records") for name, frame in tables.items() if name != "comparison"}
    write_atomically(HERE / "comparison.json", json.dumps(to_plain(record | {"verdicts": sentences}), indent=1) + "\n")
    parts = ["\n".join(f"- {sentence}" for sentence in sentences), "**What can be known**", bounds(runs)]
    for basis, mine in table.groupby(BASIS, sort=False):
        about = f"protocol {where(basis)}"
        parts += [
            f"**Scores, {about}**, factors and codes in the right order; brackets: 95 % over seeds.",
            scores_of(mine, RIGHT, "value"),
            f"**Chance-adjusted, {about}.**",
            scores_of(mine, RIGHT, "adjusted"),
            f"**Table 1 as the paper's evaluator computes it, {about}**: factors and codes exchanged.",
            scores_of(mine, SWAPPED, "value", paper=True),
        ]
    rivals = tables["against_rivals"]
    rows = [
        [
            where(row[BASIS]),
            row["metric"],
            named(row),
            span(row, "adjusted"),
            f"{row['rival_adjusted']:.3f} ({row['rival']})",
        ]
        + [row["outcome"]]
        for _, row in rivals.iterrows()
    ]
    parts += [
        "**Against the best linear rival**, chance-adjusted.",
        markdown(["protocol", "metric", "model", "score", "rival", "outcome"], rows),
    ]
    choice = tables["choice"]
    columns = [*("model", "strength", "udr", "mig_by_factor", "dci_disentanglement"), "n_seeds"]
    chosen = [name for name in choice if name.startswith("best by")]
    rows = [
        [
            where(row[BASIS]),
            *(cell(row[column]) for column in columns),
            ", ".join(name[8:] for name in chosen if row[name]) or "-",
        ]
        for _, row in choice.iterrows()
    ]
    parts += [
        "**Choice without labels** (UDR) beside what labels would choose.",
        markdown(["protocol", *columns, "best by"], rows),
        "**Swapping a factor's codes**: median error towards the factor that was swapped in, and by how much the way "
        "to it was gone (moved, 1 is all of it).",
        markdown(
            ["protocol", "model", "factor", "error", "unit", "moved"],
            [
                [
                    where(row[BASIS]),
                    named(row),
                    row["factor"],
                    span(row, "error"),
                    row["unit"],
                    span(row, "moved"),
                ]
                for _, row in tables["swaps"].iterrows()
            ],
        ),
    ]
    fill(HERE / "README.md", "\n\n".join(parts), "comparison")


if __name__ == "__main__":
    main()
