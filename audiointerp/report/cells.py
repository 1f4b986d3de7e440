"""Numbers, intervals and tables in Markdown, as the READMEs of experiments hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def corpus(record: Record) -> str:
    """Names a run by its sounds and what sets it apart from the default."""
    name = record["results"]["sounds"]["name"]
    kind = record["results"].get("weights", "")
    clips = record.get("config", {}).get("data", {}).get("clips")
    name = f"{name}, {clips} clips" if isinstance(clips, int) else name  # computed sounds: as many as one asks for
    return f"{name}, {kind}" if kind and kind != "trained" else name


def markdown(columns: Sequence[str], rows: Iterable[Sequence]) -> str:
    """Writes a table.

    Example:
        >>> print(markdown(["a", "b"], [[1, "x|y"]]))
        | a | b |
        | --- | --- |
        | 1 | x/y |
    """
    lines = ["| " + " | ".join(str(column).replace("_", " ") for column in columns) + " |"]
    lines.append("|" + " --- |" * len(columns))
    lines += ["| " + " | ".join(str(value).replace("|", "/") for value in row) + " |" for row in rows]
    return "\n".join(lines)


def interval(row: Mapping[str, Any], key: str = "accuracy") -> str:
    """Writes a score with its interval, or says why there is none."""
    if row.get(key) is None:
        return str(row["interval"])
    if row.get("ci_low") is None:
        return f"{row[key]:.3f} ({row['interval']})"
    return f"{row[key]:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"


def signed_interval(row: Mapping[str, Any], key: str) -> str:
    """Writes a difference with its interval, the range over seeds, and whether it is told apart from none."""
    seeds = f"{row['seeds_low']:+.3f} to {row['seeds_high']:+.3f}"
    if row.get("ci_low") is None:
        return f"{signed(row[key])} ({row['interval']}), seeds {seeds}"
    return f"{signed(row[key])} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}], seeds {seeds}: {told_apart(row)}"


def told_apart(row: Mapping[str, Any]) -> str:
    """Says whether a difference is one: its interval lies on one side of zero, and so does every seed.

    Example:
        >>> told_apart({"ci_low": 0.1, "ci_high": 0.2, "seeds_low": 0.05, "seeds_high": 0.3})
        'better'
        >>> told_apart({"ci_low": 0.1, "ci_high": 0.2, "seeds_low": -0.05, "seeds_high": 0.3})
        'seeds disagree'
    """
    if row["ci_low"] <= 0 <= row["ci_high"]:
        return "not told apart"
    if row["seeds_low"] <= 0 <= row["seeds_high"]:
        return "seeds disagree"
    return "better" if row["ci_low"] > 0 else "worse"


def cell(value: Any) -> str:
    """Writes any value of a table."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    """Writes a number with three digits after the point."""
    return "-" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Writes a difference with its sign."""
    return "-" if value is None else f"{value:+.3f}"


def percent(value: float | None) -> str:
    """Writes a share."""
    return "-" if value is None else f"{100 * value:.0f} %"


def cost(records: Iterable[Record]) -> tuple[list[str], list[list]]:
    """Gives seconds by step, peak memory and storage of each record."""
    records = list(records)
    steps = list(dict.fromkeys(step for record in records for step in record["seconds"]))
    rows = [
        [
            corpus(record),
            record["results"]["sounds"]["segments"],
            *[cell(record["seconds"].get(step)) for step in steps],
            f"{record['peak_rss_mb']['total']:.0f}",
            cell(record["results"].get("stored_bytes_per_audio_byte")),
        ]
        for record in records
    ]
    return ["corpus", "segments", *[f"{step} [s]" for step in steps], "peak RSS [MB]", "stored / audio bytes"], rows
