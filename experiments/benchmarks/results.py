"""Keeps what the scripts of this folder measured: numbers in a file of their own, and their table in the README."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audiointerp.collect import fill
from audiointerp.report.cells import markdown
from audiointerp.study import write_atomically


def keep(folder: Path, name: str, record: Any, columns: Sequence[str], rows: Sequence[Sequence], note: str) -> None:
    """Writes `<name>.json`, and a table with a note under it between the markers `<name>` of the README.

    Args:
        folder: Where both lie.
        name: Name of the file and of the markers.
        record: Plain data.
        columns: Heads of the table.
        rows: Its cells.
        note: What stands under it.
    """
    write_atomically(folder / f"{name}.json", json.dumps(record, indent=1) + "\n")
    fill(folder / "README.md", f"{markdown(columns, rows)}\n\n{note}", name)
