"""Draws the page: turns what a run's folder holds into one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiointerp.audio import AudioError
from audiointerp.report import clouds, media
from audiointerp.report.page import Page, inside
from audiointerp.study import UserError

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 300
"""Rows of a table that the page shows; the rest is in the CSV file."""

PLAYER_BYTES = 1000
"""What the markup of a player takes at most, without its sound and captions."""

NOTE_BYTES = 400
"""What a note on something left out takes at most."""

UNITS = {"hz": "Hz", "khz": "kHz", "db": "dB", "s": "s", "ms": "ms", "mb": "MB", "pct": "%"}

_SCORE = re.compile(r"(?P<name>.*\S)\s*[\s:=]\s*(?P<score>0?\.\d+|1\.0*)")


def draw(page: Page, folder: Path, *, limit_bytes: int) -> str:
    """Draws a page from its record and the files of its run.

    Args:
        page: The record.
        folder: The run's folder.
        limit_bytes: The page stays below this size; sounds that do not fit are left out from the end.
    Returns:
        The text of report.html.
    Raises:
        UserError: If a table's columns or query do not fit the table.
    """
    from jinja2 import Environment, FileSystemLoader

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    results = read_results(folder)
    sections = _sections(page)
    parts = [part for section in sections for part in section["parts"]]
    for part in parts:
        if part["kind"] == "table":
            part.update(_table(folder, part))
        elif part["kind"] == "cloud":
            part["data"] = None
        elif part["kind"] == "figure":
            part["alt"] = page.alts.get(part["name"]) or part["caption"]
    script = templates.get_template("script.html.j2").render()
    content = {
        "page": page,
        "sections": sections,
        "warnings": [*_state(folder, results), *page.warnings],
        "facts": _facts(results),
        "provenance": list(_provenance(results)),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "bars": media.BARS,
    }
    template = templates.get_template("page.html.j2")
    # What the words and tables take is known only once they are written; pictures and then sounds share the rest.
    n_cells = sum(len(part["cells"]) for part in parts if part["kind"] == "listen")
    words = len(template.render(content).encode()) + NOTE_BYTES * (len(parts) + n_cells)
    budget = media.Budget(limit_bytes - words)
    for part in parts:
        if part["kind"] == "figure":
            part.update(_picture(folder, part["name"], budget))
    for part in parts:
        if part["kind"] == "listen":
            _fill_players(folder, part, budget)
    for part in parts:
        if part["kind"] == "cloud":
            part.update(clouds.fill(folder, part, budget))
    return template.render(content)


def read_results(folder: Path) -> dict[str, Any]:
    """Reads results.json of a run, or comparison.json of a sweep; empty where neither is there, or half a file is."""
    name = "results.json" if (folder / "results.json").exists() else "comparison.json"
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def figures_said(value: Any) -> str:
    """A value of a table as its reader sees it: three significant digits, thousands apart, words for truth.

    Example:
        >>> [figures_said(v) for v in (0.83456, 1234.5, 98, 0.00001234, float("nan"), True, "wood")]
        ['0.835', '1234', '98', '1.23 × 10⁻⁵', '–', 'yes', 'wood']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return "yes" if value else "no"
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    if isinstance(value, str):
        return value
    if not math.isfinite(number):
        return "∞" if number > 0 else "−∞"
    if number == int(number) and abs(number) < 1e12 and not isinstance(value, float):
        return _minus(_thousands(int(number)))
    if number == 0:
        return "0"
    exponent = math.floor(math.log10(abs(number)))
    if exponent < -3 or exponent >= 9:
        mantissa = f"{number / 10**exponent:.2f}"
        return _minus(f"{mantissa} × 10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}")
    if exponent >= 3:
        return _minus(_thousands(round(number)))
    return _minus(f"{number:.{max(0, 2 - exponent)}f}")


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f") if abs(number) >= 10_000 else str(number)


def _minus(words: str) -> str:
    return words.replace("-", "\u2212") if words.startswith("-") else words


def _sections(page: Page) -> list[dict[str, Any]]:
    """Groups the blocks by section; a grid of few columns right after a figure stands beside it."""
    sections: list[dict[str, Any]] = []
    for block in page.blocks:
        if block["kind"] == "section":
            section = {"title": block["title"], "paragraphs": block["paragraphs"], "parts": []}
            sections.append({**section, "id": f"section-{len(sections) + 1}"})
            continue
        if not sections:
            sections.append({"title": "Results", "paragraphs": [], "parts": [], "id": "section-1"})
        part = dict(block)
        if part["kind"] == "listen":
            part.update(_grid(part["cells"]))
        sections[-1]["parts"].append(part)
    for section in sections:
        parts = section["parts"]
        for before, after in zip(parts, parts[1:], strict=False):
            small = after["kind"] == "listen" and len(after["columns"]) <= 2 and len(after["rows"]) <= 4
            if before["kind"] == "figure" and small and not before.get("beside"):
                before["beside"] = after["beside"] = True
    return sections


def _grid(cells: list[dict[str, Any]]) -> dict[str, Any]:
    columns, rows = (list(dict.fromkeys(cell[key] for cell in cells)) for key in ("column", "row"))
    shown = [{**cell, **_bars(cell)} for cell in cells]
    places = [
        {
            "name": row,
            "cells": [
                {"name": column, "sounds": [c for c in shown if (c["row"], c["column"]) == (row, column)]}
                for column in columns
            ],
        }
        for row in rows
    ]
    return {"columns": columns, "rows": places, "cells": shown}


def _bars(cell: dict[str, Any]) -> dict[str, Any]:
    """Splits the lines of a cell into words and scores between 0 and 1."""
    scores, words = [(str(name), float(score)) for name, score in cell["scores"]], []
    for line in cell["lines"]:
        match = _SCORE.fullmatch(line.strip())
        if match and 0 <= float(match["score"]) <= 1:
            scores.append((match["name"].rstrip(" :="), float(match["score"])))
        else:
            words.append(line)
    bars = [
        {"name": name, "score": score, "said": f"{score:.2f}", "width": f"{100 * min(1, max(0, score)):.1f}"}
        for name, score in scores
    ]
    return {"bars": bars, "lines": words}


def _fill_players(folder: Path, part: dict[str, Any], budget: media.Budget) -> None:
    from markupsafe import escape

    part["left_out"] = 0
    for cell in part["cells"]:
        cell["sound"] = None
        if budget.left <= 0:
            part["left_out"] += 1
            cell["why"] = "left out to keep this page small"
            continue
        try:
            sound = media.sound(folder / inside(cell["audio"]))
        except AudioError as error:
            cell["why"] = f"cannot be played: {str(error).replace(str(folder), '').lstrip('/')}"
            continue
        caption = len(str(escape(cell["caption"])).encode())  # said by the button, its tooltip and the player
        if budget.take(len(sound.uri) + len(sound.waveform) + 3 * caption + PLAYER_BYTES):
            cell["sound"] = sound
        else:
            # From the end: once one does not fit, no later one is tried.
            budget.left = 0
            part["left_out"] += 1
            cell["why"] = "left out to keep this page small"


def _picture(folder: Path, name: str, budget: media.Budget) -> dict[str, Any]:
    uri = media.picture(folder, inside(name))
    if uri is None:
        return {"uri": None, "why": f"figures/{name} is not in this run's folder"}
    if not budget.take(len(uri)):
        return {"uri": None, "why": f"left out to keep this page small: see figures/{name}.png"}
    return {"uri": uri}


def _table(folder: Path, part: dict[str, Any]) -> dict[str, Any]:
    """Reads a table and writes each of its values twice: as it is shown, and in full."""
    import pandas as pd

    path = folder / "tables" / f"{inside(part['name'])}.csv"
    if not path.is_file():
        return {"head": [], "body": [], "why": f"tables/{part['name']}.csv is not in this run's folder"}
    try:
        frame = pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return {"head": [], "body": [], "why": f"tables/{part['name']}.csv is empty"}
    frame = _chosen(frame, part["name"], part["columns"], part["query"])
    head = [
        {"name": name, "is_number": pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)}
        for name, column in zip(_headings(frame, part["columns"]), (frame[c] for c in frame), strict=True)
    ]
    body = [
        [
            {"said": figures_said(value), "full": _full(value), "link": _link(name, value)}
            for name, value in zip(frame, row, strict=True)
        ]
        for row in frame.head(MOST_ROWS).itertuples(index=False, name=None)
    ]
    shown = f"the first {MOST_ROWS} of {len(frame)} rows" if len(frame) > MOST_ROWS else f"{len(frame)} rows"
    return {"head": head, "body": body, "shown": shown}


def _link(column: str, value: Any) -> str | None:
    """Gives where a cell of the column `report` leads: another page on this disk, never anything else."""
    text = str(value)
    is_page = column == "report" and text.endswith(".html") and ":" not in text and not text.startswith(("/", "\\"))
    return text if is_page else None


def _chosen(frame: pd.DataFrame, name: str, columns: Any, query: str | None) -> pd.DataFrame:
    if query:
        if "@" in query or "__" in query:
            raise UserError(
                f"expected a query on columns alone for table {name!r}, got {query!r}: leave out '@' and '__'"
            )
        try:
            frame = frame.query(query, engine="python")
        except (LookupError, SyntaxError, TypeError, ValueError, AttributeError, NameError) as error:
            raise UserError(
                f"expected a query on the columns of table {name!r} ({', '.join(map(str, frame.columns))}), "
                f"got {query!r} ({error}): mend the query"
            ) from error
    missing = [column for column in columns or [] if column not in frame]
    if missing:
        raise UserError(
            f"expected columns of table {name!r} ({', '.join(map(str, frame.columns))}), got {', '.join(missing)}: "
            "name columns that the table has"
        )
    return frame[list(columns)] if columns else frame


def _headings(frame: pd.DataFrame, columns: Any) -> list[str]:
    renamed = columns if isinstance(columns, Mapping) else {}
    return [renamed.get(column) or heading(str(column)) for column in frame]


def heading(column: str) -> str:
    """A column's name as a heading, its unit in brackets.

    Example:
        >>> heading("cutoff_hz"), heading("n_groups"), heading("d_z")
        ('cutoff [Hz]', 'groups (n)', 'd_z')
    """
    stem, _, end = column.rpartition("_")
    if stem and end in UNITS:
        return f"{stem.replace('_', ' ')} [{UNITS[end]}]"
    if column.startswith("n_"):
        return f"{column[2:].replace('_', ' ')} (n)"
    return {"d_z": "d_z", "ci_low": "95 % from", "ci_high": "95 % to"}.get(column, column.replace("_", " "))


def _full(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "not measured"
    return repr(value) if isinstance(value, float) else str(value)


def _state(folder: Path, results: Mapping[str, Any]) -> Iterator[str]:
    status = results.get("status")
    if not results:
        yield "This run has not finished: its folder has no complete results.json. What stands below may be incomplete."
    elif status != "complete":
        yield f"This run did not come to its end (status: {status}). What stands below may be incomplete."


def _facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The few things about a run that its reader wants at a glance."""
    config = results.get("config") if isinstance(results.get("config"), Mapping) else {}
    found = []
    for label, key in (("experiment", "experiment"), ("protocol", "protocol"), ("seed", "seed")):
        value = results.get(key, config.get(key))
        if value is not None and not isinstance(value, Mapping | list):
            found.append((label, str(value)))
    seconds = results.get("seconds")
    if isinstance(seconds, Mapping) and seconds:
        found.append(("computed in", duration(sum(v for v in seconds.values() if isinstance(v, int | float)))))
    ended = results.get("ended")
    if isinstance(ended, str):
        found.append(("finished", ended.replace("T", " ")[:16]))
    return found


def duration(seconds: float) -> str:
    """A time span in words.

    Example:
        >>> duration(0.42), duration(75), duration(7260)
        ('0.4 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _provenance(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What the run was: its numbers, steps and everything else of results.json, ready to be folded."""
    steps, memory = results.get("seconds"), results.get("peak_rss_mb")
    if isinstance(steps, Mapping) and steps:
        memory = memory if isinstance(memory, Mapping) else {}
        rows = [(str(k), figures_said(v), figures_said(memory.get(k))) for k, v in steps.items()]
        if "total" in memory:
            total = sum(v for v in steps.values() if isinstance(v, int | float))
            rows.append(("whole run", figures_said(float(total)), figures_said(memory["total"])))
        yield {"title": "Seconds and memory by step", "steps": rows}
    titles = {
        "results": "Headline numbers and controls",
        "config": "Configuration",
        "versions": "Versions",
        "dropped": "Files left out",
        "overrides": "Overrides",
    }
    left = {key: value for key, value in results.items() if key not in ("seconds", "peak_rss_mb")}
    plain = {key: value for key, value in left.items() if not isinstance(value, Mapping | list)}
    for key, value in left.items():
        if key not in plain and value not in ({}, []):
            yield {"title": titles.get(key, key.replace("_", " ").capitalize()), "rows": list(_flat(value))}
    if plain:
        yield {"title": "The run", "rows": list(_flat(plain))}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Goes through nested mappings and lists, one row per value, named by its way down."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for i, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{i}" if name else str(i))
    elif isinstance(value, list | Mapping):
        yield name, ", ".join(map(str, value)) or "none"
    else:
        yield name, "not measured" if value is None else str(value)
