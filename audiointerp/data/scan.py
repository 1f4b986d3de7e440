"""What is measured of sound files before any work starts, kept by content in a CSV file."""

from __future__ import annotations

import csv
import io
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from audiointerp import audio
from audiointerp.data.base import hash_of
from audiointerp.study import write_atomically

READ_THREADS = 2
FRESH_NS = 2_000_000_000
COLUMNS = {
    "path": str,
    "start_s": float,
    "stop_s": lambda text: float(text) if text else None,
    "size": int,
    "mtime_ns": int,
    "ctime_ns": int,
    "sha256": str,
    "sample_rate": int,
    "frames": int,
    "rms": float,
    "peak": float,
    "file_peak": float,
    "problem": str,
}
STAMP = ("size", "mtime_ns", "ctime_ns")
MEASURES = ("sample_rate", "frames", "rms", "peak", "file_peak", "problem")


class Scan:
    """Measurements of the files under a root, kept in a CSV file.

    A row is trusted while size and times of its file are unchanged; else the content's hash decides. Files younger
    than two seconds are never trusted by their times, as an edit within the clock's grain leaves them the same.

    Args:
        root: Folder that the paths are relative to.
        cache: Folder in which `sounds/<sha256>/scan.csv` is kept; None for none.
        progress: Called as `progress(iterable, description=, total=)`; None for a bar that appears after two seconds.
    """

    def __init__(self, root: Path, cache: str | os.PathLike | None, progress: Callable | None) -> None:
        self.root, self.progress = root, progress
        self.file = None
        if cache is not None:
            self.file = Path(cache).expanduser() / "sounds" / hash_of("scan-1", str(root.resolve())) / "scan.csv"
        self.known = self._load()

    def _load(self) -> dict[tuple, dict[str, Any]]:
        if self.file is None or not self.file.is_file():
            return {}
        with self.file.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != list(COLUMNS):
                return {}
            rows = [{column: kind(row[column]) for column, kind in COLUMNS.items()} for row in reader]
        return {(row["path"], row["start_s"], row["stop_s"]): row for row in rows}

    def rows(self, table: pd.DataFrame) -> list[dict[str, Any]]:
        """One row of measurements per row of a table of `path`, with or without `start_s` and `stop_s` [s]."""
        starts = table["start_s"].astype(float).fillna(0.0) if "start_s" in table else [0.0] * len(table)
        stops = table["stop_s"].astype(float) if "stop_s" in table else [math.nan] * len(table)
        keys = [
            (path, float(start), None if math.isnan(stop) else float(stop))
            for path, start, stop in zip(table["path"], starts, stops, strict=True)
        ]
        windows: dict[str, list[tuple[float, float | None]]] = {}
        for path, start, stop in keys:
            windows.setdefault(path, []).append((start, stop))
        stale = [path for path, parts in windows.items() if not self._is_fresh(path, parts)]
        if stale:
            self._by_content = {(row["sha256"], *key[1:]): row for key, row in self.known.items() if row["sha256"]}
            try:
                with ThreadPoolExecutor(READ_THREADS) as pool:
                    found = pool.map(lambda path: self._measure(path, windows[path]), stale)
                    for rows in self._shown(found, len(stale)):
                        self.known.update({(row["path"], row["start_s"], row["stop_s"]): row for row in rows})
            finally:  # what an interrupted scan has measured is not measured again
                self._save()
        return [self.known[key] for key in keys]

    def _shown(self, found: Iterable, total: int) -> Iterable:
        if self.progress is not None:
            return self.progress(found, description="reading sounds", total=total)
        from tqdm.auto import tqdm

        return tqdm(found, desc="reading sounds", total=total, unit="file", delay=2, leave=False)

    def _is_fresh(self, path: str, windows: list[tuple[float, float | None]]) -> bool:
        first = self.known.get((path, *windows[0]))
        if first is None or any((path, *window) not in self.known for window in windows):
            return False
        return _stamp(self.root / path) == {column: first[column] for column in STAMP}

    def _measure(self, path: str, windows: list[tuple[float, float | None]]) -> list[dict[str, Any]]:
        full = self.root / path
        stamp = _stamp(full)
        try:
            sha256 = audio.sha256_of(full)
        except OSError:  # missing or unreadable: measured as such
            sha256 = ""
        if time.time_ns() - max(stamp["mtime_ns"], stamp["ctime_ns"]) < FRESH_NS:
            stamp = dict.fromkeys(STAMP, -2)
        known = [self._by_content.get((sha256, *window)) for window in windows]
        measured = known if sha256 and all(known) else audio.measure(full, windows)
        return [
            {"path": path, "start_s": start, "stop_s": stop, **stamp, "sha256": sha256}
            | {column: row[column] for column in MEASURES}
            for (start, stop), row in zip(windows, measured, strict=True)
        ]

    def _save(self) -> None:
        if self.file is None or not self.known:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.known.values())
        try:
            write_atomically(self.file, text.getvalue())
        except OSError as error:
            warnings.warn(f"the measurements of the sounds could not be kept ({error}): set paths.cache", stacklevel=2)


def _stamp(path: Path) -> dict[str, int]:
    """Size and times of a file; the change time cannot be set back, so an edit shows even where the rest is kept."""
    try:
        stat = path.stat()
    except OSError:
        return dict.fromkeys(STAMP, -1)
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
