"""Clouds of dots for the page: coordinates, classes, what is said of a dot, and its sound, as JSON in the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audiointerp.audio import AudioError
from audiointerp.report import media, palette
from audiointerp.report.page import inside

MOST_DOTS = 5000


def fill(folder: Path, part: Mapping[str, Any], budget: media.Budget) -> dict[str, Any]:
    """Reads a cloud's table and sounds.

    Args:
        folder: The run's folder.
        part: The block as `Page.cloud` wrote it.
        budget: Bytes left; the dots take theirs first, then one sound after another until one does not fit.
    Returns:
        `data` (JSON that may stand inside a script element), `dots`, `silent`; or `why` there is none.
    """
    import pandas as pd

    path = folder / "tables" / f"{inside(part['name'])}.csv"
    if not path.is_file():
        return {"why": f"tables/{part['name']}.csv is not in this run's folder"}
    frame = pd.read_csv(path).head(MOST_DOTS)
    needed = [*(column for columns in part["views"].values() for column in columns), *part["colours"], *part["says"]]
    missing = [column for column in needed if column not in frame]
    if missing:
        return {"why": f"tables/{part['name']}.csv has no column {missing[0]}"}
    content: dict[str, Any] = {
        "views": {
            name: [[round(float(value), 4) for value in frame[column]] for column in columns]
            for name, columns in part["views"].items()
        },
        "colours": {column: _colouring(frame[column]) for column in part["colours"]},
        "says": [
            ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in zip(part["says"], row, strict=True))
            for row in frame[part["says"]].astype(str).itertuples(index=False, name=None)
        ],
        "sounds": [None] * len(frame),
    }
    if not budget.take(len(_embedded(content))):
        return {"why": "left out to keep this page small"}
    files = frame[part["audio"]] if part["audio"] in frame else pd.Series([None] * len(frame), dtype=object)
    silent, wanted = 0, files.notna()
    for row in range(len(frame)):
        if not wanted.iloc[row]:
            continue
        try:
            uri = media.sound(folder / inside(str(files.iloc[row]))).uri
        except AudioError:
            silent += 1
            continue
        if budget.take(len(uri) + 8):
            content["sounds"][row] = uri
        else:
            budget.left = 0  # from the end: once one does not fit, no later one is tried
            silent += 1
    return {"data": _embedded(content), "dots": len(frame), "silent": silent}


def _colouring(column: Any) -> dict[str, Any]:
    """Colours of a column: one per class with its place, or a scale from the least to the largest number."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) and column.nunique() > 2:
        return {"low": float(column.min()), "high": float(column.max()), "values": [float(v) for v in column]}
    names = sorted(column.astype(str).unique())
    colours = palette.classes(names)
    place = {name: number for number, name in enumerate(names)}
    return {
        "classes": [{"name": name, "colour": colours[name][0], "marker": colours[name][1]} for name in names],
        "values": [place[str(value)] for value in column],
    }


def _embedded(content: Mapping[str, Any]) -> str:
    """JSON in which nothing can end the script element that it stands in."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
