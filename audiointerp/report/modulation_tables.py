"""Tables of the studies of spectro-temporal filters, written from the records of collected runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audiointerp.report.cells import Record, markdown, number


def strf_tables(records: Sequence[Record]) -> str:
    """Writes the tables of a task for spectro-temporal filters: front ends, where filters lie, what falls."""
    fronts = [
        [sounds_of(record), row["front"], row["measure"].replace("_", " "), with_ends(row, "mean"), row["seeds"]]
        + [row["learnt in the front end"], row["learnt behind it"]]
        for record in records
        for row in record["results"]["fronts"]
    ]
    differences = [
        [sounds_of(record), row["front"], row["against"], with_ends(row, "difference", "+"), number(row["p"])]
        for record in records
        for row in record["results"]["differences"]
        if row["measure"] == record["results"]["task"]["measure"]
    ]
    moved = [
        [sounds_of(record), row["labels"], row["parameter"], with_ends(row, "moved")]
        for record in records
        for row in record["results"]["displacement"]
    ]
    nulls = [
        [sounds_of(record), row["against"], number(row["energy_distance"]), number(row["null_95"]), number(row["p"])]
        for record in records
        for row in record["results"]["populations"]
    ]
    ablation = [
        [sounds_of(record), row["silenced"], row["measure"].replace("_", " "), with_ends(row, "mean", "+")]
        for record in records
        for row in record["results"]["ablation"]
        if row["measure"] != "score"
    ]
    organised = [
        [sounds_of(record), row.get("labels", row.get("filters")), row["tuning"], against, with_ends(row, column, "+")]
        for record in records
        for name, against in (("tonotopy", "centre frequency"), ("harmonicity", "answering to harmonic sounds"))
        for row in record["results"][name]
        for column in (f"rank_correlation_with_{'centre' if name == 'tonotopy' else 'harmonicity'}",)
    ]
    splits = [
        [sounds_of(record), record["results"]["task"]["split"]]
        + [record["results"]["task"][role] for role in ("train", "select", "test")]
        + [number(record["results"]["task"]["chance"]), f"{sum(record['seconds'].values()):.0f}"]
        + [f"{record['peak_rss_mb']['total']:.0f}"]
        for record in records
    ]
    return "\n\n".join(
        [
            "**Front ends** on test groups (brackets: 95 % over seeds, each with its own training and split).",
            markdown(["sounds", "front end", "measure", "mean", "seeds", "learnt in it", "learnt behind it"], fronts),
            "**Differences** of the first measure, seed by seed on the same split.",
            markdown(["sounds", "front end", "against", "difference", "p"], differences),
            "**How far parameters moved**: medians, in units of their spread before training.",
            markdown(["sounds", "labels", "parameter", "moved"], moved),
            "**How far the learnt filters lie from each null** (energy distance of modulations; 95 % of the null).",
            markdown(["sounds", "against", "distance", "null", "p"], nulls),
            "**Half of the filters silenced**: what is lost, and what beyond as many at random.",
            markdown(["sounds", "silenced", "what", "mean"], ablation),
            "**Organisation**: rank correlations over filters, beside their control.",
            markdown(["sounds", "filters", "tuning", "against", "rank correlation"], organised),
            "**Splits** (segments of the first one) and cost.",
            markdown(["sounds", "split by", "train", "select", "test", "chance", "run [s]", "peak RSS [MB]"], splits),
        ]
    )


def sounds_of(record: Record) -> str:
    """Names a run by its sounds, and by its protocol where that is not the default."""
    published = record.get("config", {}).get("protocol") == "published"
    return record["results"]["sounds"]["name"] + (", published" if published else "")


def with_ends(row: Mapping[str, Any], name: str, sign: str = "") -> str:
    """Writes the number under `name` with the interval beside it, or says why there is none.

    Example:
        >>> with_ends({"mean": 0.5, "ci_low": 0.4, "ci_high": 0.6}, "mean")
        '0.500 [0.400, 0.600]'
        >>> with_ends({"mean": 0.5, "ci_low": None, "ci_high": None, "interval": "none: 1 seed"}, "mean", "+")
        '+0.500 (none: 1 seed)'
    """
    if row.get("ci_low") is None:
        return f"{row[name]:{sign}.3f} ({row['interval']})"
    return f"{row[name]:{sign}.3f} [{row['ci_low']:{sign}.3f}, {row['ci_high']:{sign}.3f}]"
