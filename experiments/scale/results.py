"""Keeps what the scripts of this folder measured: a part of results.json, and a table between markers of the README."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from audiointerp import provenance
from audiointerp.collect import fill
from audiointerp.study import write_atomically


def keep(folder: Path, name: str, facts: dict[str, Any], table: str) -> None:
    """Writes one part of results.json, the others untouched, and its table.

    Args:
        folder: Where both lie.
        name: Name of the part and of the markers.
        facts: Plain data.
        table: Markdown.
    """
    target = folder / "results.json"
    before = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
    made = {
        "packages": provenance.package_versions(),
        "git": provenance.git_commit(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }
    after = {**before, name: {**provenance.without_paths(facts), "provenance": made}}
    write_atomically(target, json.dumps(after, indent=1, sort_keys=True) + "\n")
    fill(folder / "README.md", table, name)
