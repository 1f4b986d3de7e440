"""Sounds: clips with a table of factors, the groups they come from, and a fingerprint of what is heard."""

from __future__ import annotations

import csv
import difflib
import functools
import hashlib
import io
import json
import math
import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audiointerp import audio
from audiointerp.study import UserError, stream, write_atomically

PADS = ("floor", "zeros", "repeat")
_READ_THREADS = 2
_FRESH_NS = 2_000_000_000
_SCAN_COLUMNS = {
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
_STAMP = ("size", "mtime_ns", "ctime_ns")
_MEASURES = ("sample_rate", "frames", "rms", "peak", "file_peak", "problem")


class Sounds(ABC):
    """A collection of clips: what is played.

    A subclass sets the attributes and gives `waveform`; the tables have one row per clip and a RangeIndex.

    Attributes:
        name: Name for headings.
        note: A sentence for the report: what is confounded, how groups were made. May be empty.
        attribution: Whom the sounds are from, and their licence. May be empty.
        sample_rate: Rate of the waveforms [Hz].
        pad: How a clip shorter than a segment is padded: `floor`, `zeros` or `repeat`.
        factors: One column per factor; categories as str, numbers as numbers.
        group: What was recorded or made together (str); clips of one group never lie on two sides of a split.
        path: File relative to the root, `/` between folders (str), or a name for a clip without a file.
        fold: The corpus' own split (str), or None.
        tags: Where a clip may have several classes: one boolean column per class; else None.
        levels: `duration_s`, `rms_db`, `peak_db` (re full scale) of each clip.
        lengths: Samples of each clip at `sample_rate`, int64 `(N,)`.
        dropped: `path` and `reason` of what was left out.
        clip_keys: One str per clip that changes whenever its samples do.
        preprocessing: What is done to every clip, JSON-able.
        batched: Whether `waveforms` gives many clips faster than `waveform` gives them one by one.
    """

    name: str = "sounds"
    note: str = ""
    attribution: str = ""
    pad: str = "floor"
    batched: bool = False
    sample_rate: int
    factors: pd.DataFrame
    group: pd.Series
    path: pd.Series
    fold: pd.Series | None = None
    tags: pd.DataFrame | None = None
    levels: pd.DataFrame
    lengths: np.ndarray
    dropped: pd.DataFrame
    clip_keys: list[str]
    preprocessing: dict[str, Any]

    @abstractmethod
    def waveform(self, i: int) -> np.ndarray:
        """Samples of clip `i`, float32, shape `(L,)`, at `sample_rate`; the caller may write into them."""

    def waveforms(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Samples of clips of one length, float32, shape `(B, L)`; `batched` sounds override it.

        Raises:
            ValueError: If the clips differ in length.
        """
        indices = np.asarray(indices, dtype=np.int64)
        lengths = np.unique(np.asarray(self.lengths)[indices])
        if len(lengths) > 1:
            raise ValueError(f"expected clips of one length, got lengths from {lengths[0]} to {lengths[-1]}")
        out = np.empty((len(indices), int(lengths[0]) if len(lengths) else 0), dtype=np.float32)
        for row, i in enumerate(indices):
            out[row] = self.waveform(int(i))
        return out

    def __len__(self) -> int:
        return len(self.factors)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the clips' contents in their order and the preprocessing; labels do not enter it."""
        return hash_of(self.preprocessing, *self.clip_keys)

    def subset(self, indices: Sequence[int] | np.ndarray) -> Subset:
        """The clips at `indices`, in that order, as a view.

        Args:
            indices: Positions in `[0, N)`, or a boolean mask of length `N`.
        Raises:
            IndexError: If a position lies outside, or a mask has another length.
        """
        return Subset(self, indices)


class Subset(Sounds):
    """A view of some clips of other sounds; decodes nothing itself.

    Args:
        parent: The sounds.
        indices: Positions in `[0, len(parent))`, or a boolean mask.
    Raises:
        IndexError: If a position lies outside, or a mask has another length.
    """

    def __init__(self, parent: Sounds, indices: Sequence[int] | np.ndarray) -> None:
        indices = np.asarray(indices)
        if indices.dtype == bool:
            if indices.shape != (len(parent),):
                raise IndexError(f"expected a mask of length {len(parent)}, got shape {indices.shape}")
            indices = np.flatnonzero(indices)
        indices = indices.astype(np.int64)
        if indices.size and not (0 <= indices.min() and indices.max() < len(parent)):
            raise IndexError(f"expected positions in [0, {len(parent)}), got {indices.min()} to {indices.max()}")
        self.parent, self.indices = parent, indices
        for attribute in ("name", "note", "attribution", "sample_rate", "pad", "dropped", "preprocessing", "batched"):
            setattr(self, attribute, getattr(parent, attribute))
        for attribute in ("factors", "group", "path", "fold", "tags"):
            table = getattr(parent, attribute)
            setattr(self, attribute, None if table is None else table.iloc[indices].reset_index(drop=True))
        self.lengths = np.asarray(parent.lengths)[indices]
        self.clip_keys = [parent.clip_keys[i] for i in indices]

    @functools.cached_property
    def levels(self) -> pd.DataFrame:
        """Levels of the chosen clips; a parent that has yet to measure its own does so at the first use."""
        return self.parent.levels.iloc[self.indices].reset_index(drop=True)

    def waveform(self, i: int) -> np.ndarray:
        return self.parent.waveform(int(self.indices[i]))

    def waveforms(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.parent.waveforms(self.indices[np.asarray(indices, dtype=np.int64)])


class AudioFiles(Sounds):
    """Sounds from files, or windows of files, that a table lists.

    Every file is read once on construction (two threads; the measurements are cached by content), so that what cannot
    be used is found before any work starts: missing, corrupt, truncated, empty, silent (peak under -90 dBFS or
    constant) or not finite. Such files go into `dropped` and are told in one warning.

    Args:
        root: Folder that the paths are relative to.
        table: `path`; `group` (default: each file its own); `fold`, `start_s`, `stop_s`, `tags` (optional: each a
            tuple of names); further columns are what factors are chosen from. Numeric columns give numeric factors.
        factors: Names of columns.
        sample_rate: Rate of the waveforms given [Hz]; files of any rate are resampled.
        where: Column to allowed values; other rows are left out without being read.
        clips: Size of a subsample, as equal as possible over the cells of the categorical factors; None for all. Only
            what is chosen is read. A smaller subsample of the same seed is part of a larger one.
        strict: Whether a file that cannot be used is an error.
        pad: `floor`, `zeros` or `repeat`, for `Segments`.
        normalise: Whether each file is divided by its largest absolute sample.
        cache: Folder in which `sounds/<sha256>/scan.csv` is kept; None for none.
        seed: Seed of the subsample.
        keep_mb: Decoded waveforms stay in memory if all of them together take less [MB].
        progress: Called as `progress(iterable, description=, total=)`, e.g. `RunContext.progress`; None for a bar that
            appears after two seconds.
        name: Name for headings.
        note: A sentence for the report.
        attribution: Source and licence.
        dropped: `path` and `reason` of what the caller already left out.
        tag_names: Names of all tags, in order, where the table has a column `tags`.
    Raises:
        UserError: If the root is missing, a factor or a column of `where` is unknown, a factor has a single class, a
            path is listed twice without different windows, no clip is left, an argument is out of range, or (`strict`)
            a file cannot be used.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        table: pd.DataFrame,
        factors: Sequence[str],
        sample_rate: int = 16000,
        where: Mapping[str, Sequence] | None = None,
        clips: int | None = None,
        strict: bool = False,
        pad: str = "floor",
        normalise: bool = False,
        cache: str | os.PathLike | None = None,
        seed: int = 0,
        keep_mb: float = 512,
        progress: Callable | None = None,
        name: str = "sounds",
        note: str = "",
        attribution: str = "",
        dropped: pd.DataFrame | None = None,
        tag_names: Sequence[str] = (),
    ) -> None:
        self.root = data_folder(root, name)
        self.name, self.note, self.attribution = name, note, attribution
        if pad not in PADS:
            raise UserError(f"expected pad to be one of {', '.join(PADS)}, got {pad!r}")
        if int(sample_rate) <= 0:
            raise UserError(f"expected a positive sample_rate in Hz, got {sample_rate}")
        if clips is not None and int(clips) < 1:
            raise UserError(f"expected clips to be a number of clips or null for all, got {clips}")
        self.sample_rate, self.pad, self.normalise = int(sample_rate), pad, bool(normalise)
        factors = [factors] if isinstance(factors, str) else list(factors)

        table, unlabelled = _prepared(table, factors, where, name)
        left_out = [] if dropped is None else list(dropped[["path", "reason"]].itertuples(index=False, name=None))
        left_out += unlabelled
        scan = _Scan(self.root, cache, progress)
        bad: dict[int, str] = {}
        order = np.arange(len(table)) if clips is None else stream(seed, "clips").permutation(len(table))
        while True:  # replaces unusable clips of a subsample by the next of their cell
            usable = order[~np.isin(order, list(bad))]
            chosen = _water_fill(table, factors, usable, int(clips)) if clips is not None else usable
            rows = scan.rows(table.iloc[chosen])
            new = {int(i): row["problem"] for i, row in zip(chosen, rows, strict=True) if row["problem"]}
            bad |= new
            if not new:
                break
            if clips is None:
                rows = [row for row in rows if not row["problem"]]
                chosen = np.array([i for i in chosen if int(i) not in bad], dtype=np.int64)
                break
        left_out += [(table.path.iloc[i], bad[i]) for i in sorted(bad)]
        self.dropped = pd.DataFrame(left_out, columns=["path", "reason"])
        self._tell_dropped(strict, len(chosen))
        self._fill(table.iloc[chosen].reset_index(drop=True), rows, factors)
        if "tags" in table:
            self.tags = _tag_table(table["tags"].iloc[chosen], tag_names)
        _check_classes(self.factors, name)
        self._tell_copies()
        self._kept: dict[int, np.ndarray] = {}
        self._keep = 4e-6 * float(self.lengths.sum()) < keep_mb

    def _tell_dropped(self, strict: bool, left: int) -> None:
        reasons = dict(zip(self.dropped.path[::-1], self.dropped.reason[::-1], strict=True))  # each file's first one
        paths = list(dict.fromkeys(self.dropped.path))
        named = 20 if strict else 3
        shown = "; ".join(f"{path} ({reasons[path]})" for path in paths[:named])
        shown += f"; and {len(paths) - named} more" if len(paths) > named else ""
        if not left:
            raise UserError(
                f"{self.name}: expected at least one usable clip in {self.root}, "
                + (f"none is left of {len(self.dropped)}: {shown}" if len(paths) else "the selection is empty")
                + ": look at the files, at data.where and at paths.data (or AUDIOINTERP_DATA)"
            )
        if not paths:
            return
        text = f"{self.name}: {len(self.dropped)} of {len(self.dropped) + left} clips cannot be used: {shown}"
        if strict:
            raise UserError(f"{text}: repair or remove them, or set data.strict=false to leave them out")
        warnings.warn(f"{text}; they are left out", stacklevel=4)

    def _tell_copies(self) -> None:
        """Warns of clips of different groups that are the same to the bit: a split would leak through them."""
        groups = self.group.groupby(pd.Series(self.clip_keys)).transform("nunique")
        if (groups > 1).any():
            warnings.warn(
                f"{self.name}: {int((groups > 1).sum())} clips have the same content as one of another group, as "
                f"{self.path[groups > 1].iloc[0]}: remove the copies or join the groups, or a split leaks",
                stacklevel=4,
            )

    def _fill(self, table: pd.DataFrame, rows: list[dict[str, Any]], factors: list[str]) -> None:
        self.factors = table[factors].copy()
        self.group, self.path = table["group"], table["path"]
        self.fold = table["fold"] if "fold" in table else None
        frames, lengths, gains, keys = [], [], [], []
        for row in rows:
            start, stop = audio.frame_range(row["start_s"], row["stop_s"], row["sample_rate"], row["frames"])
            frames.append((start, stop))
            if row["stop_s"] is None:
                lengths.append(audio.resampled_length(stop - start, row["sample_rate"], self.sample_rate))
            else:  # the same for all windows of one duration, whatever the file's rate
                lengths.append(round((row["stop_s"] - row["start_s"]) * self.sample_rate))
            gains.append(1 / row["file_peak"] if self.normalise else 1.0)
            keys.append(f"{row['sha256']}:{start}:{stop}:{lengths[-1]}")
        self._frames, self._gains = frames, gains
        self.lengths, self.clip_keys = np.array(lengths, dtype=np.int64), keys
        self.preprocessing = {
            "sample_rate": self.sample_rate,
            "mono": "mean",
            "normalise": self.normalise,
            "pad": self.pad,
        }
        self.levels = pd.DataFrame(
            {
                "duration_s": [(b - a) / row["sample_rate"] for (a, b), row in zip(frames, rows, strict=True)],
                "rms_db": [20 * math.log10(r["rms"] * g) for r, g in zip(rows, gains, strict=True)],
                "peak_db": [20 * math.log10(r["peak"] * g) for r, g in zip(rows, gains, strict=True)],
            }
        )

    def waveform(self, i: int) -> np.ndarray:
        """Samples of clip `i`, float32, shape `(lengths[i],)`.

        Raises:
            AudioError: If the file was removed or cut since it was measured.
            UserError: If it has to be resampled and torchaudio cannot be imported.
        """
        i = int(i)
        if i not in self._kept:
            start, stop = self._frames[i]
            samples = audio.load(self.root / self.path.iloc[i], self.sample_rate, start, stop)
            short = int(self.lengths[i]) - len(samples)
            if short > 8:  # a frame may be missing where a window's end was rounded
                raise audio.AudioError(f"{self.path.iloc[i]}: changed since it was measured: start again")
            samples = np.pad(samples, (0, max(short, 0)))[: self.lengths[i]]
            samples = samples * np.float32(self._gains[i]) if self.normalise else samples
            if not self._keep:
                return samples
            self._kept[i] = samples
        return self._kept[i].copy()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}  # a worker process decodes its own


def data_folder(root: str | os.PathLike | None, name: str) -> Path:
    """The folder of a corpus.

    Raises:
        UserError: If it is missing; the message names the setting.
    """
    if root is None:
        raise UserError(
            f"expected the folder of {name}, none was given: set data.root=FOLDER, or paths.data=FOLDER "
            "(AUDIOINTERP_DATA) to the folder that holds the corpora"
        )
    root = Path(root).expanduser()
    if not root.is_dir():
        raise UserError(
            f"expected the folder of {name} at {root}, there is none: set paths.data=FOLDER or AUDIOINTERP_DATA to the "
            "folder that holds the corpora, or data.root to this one"
        )
    return root


def hash_of(*parts: Any) -> str:
    """SHA-256 of JSON-able parts, as hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def nearest(name: str, known: Iterable[str]) -> str:
    """A phrase that offers the nearest known name and lists them all.

    Example:
        >>> nearest("digitt", ["digit", "speaker"])
        "did you mean 'digit'? (there are: digit, speaker)"
    """
    known = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), known, n=1)
    return (f"did you mean {close[0]!r}? " if close else "") + f"(there are: {', '.join(known) or 'none'})"


def _prepared(
    table: pd.DataFrame, factors: list[str], where: Mapping[str, Sequence] | None, name: str
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """The rows that `where` allows, in plain types; rows without a label are told apart."""
    reserved = {"path", "group", "fold", "start_s", "stop_s", "tags"}
    available = [column for column in table.columns if column not in reserved]
    for factor in factors:
        if factor not in available:
            raise UserError(f"{name} has no factor {factor!r}: {nearest(factor, available)}")
    if not factors or len(set(factors)) < len(factors):
        raise UserError(f"{name}: expected factors, each named once, got {factors}: {nearest('', available)}")
    table = table.reset_index(drop=True)
    for column, allowed in (where or {}).items():
        if column not in table:
            raise UserError(f"{name} has no column {column!r} to select by: {nearest(column, table.columns)}")
        allowed = [allowed] if isinstance(allowed, (str, int, float)) else allowed
        values = table[column].astype(str)
        unknown = [str(a) for a in allowed if str(a) not in set(values)]
        if unknown:
            raise UserError(f"{name}: no {column} is {unknown[0]!r}: {nearest(unknown[0], sorted(set(values))[:30])}")
        table = table[values.isin([str(a) for a in allowed])]
    table = table.copy()
    table["path"] = table["path"].astype(str).str.replace("\\", "/", regex=False)
    windowed = [column for column in ("start_s", "stop_s") if column in table]
    twice = table.duplicated(["path", *windowed])
    if twice.any():
        raise UserError(
            f"{name}: {table.path[twice].iloc[0]!r} is listed more than once: list a file once, "
            "or give each row its own window (start_s, stop_s)"
        )
    empty = table[factors].isna() | (table[factors].astype(str) == "")
    unlabelled = [
        (path, f"no value for {factors[int(np.argmax(row))]}")
        for path, row in zip(table.path[empty.any(axis=1)], empty[empty.any(axis=1)].to_numpy(), strict=True)
    ]
    table = table[~empty.any(axis=1)].reset_index(drop=True)
    table["group"] = table["group"].astype(str) if "group" in table else table["path"]
    if "fold" in table:
        table["fold"] = table["fold"].astype(str)
    for factor in factors:
        if not pd.api.types.is_numeric_dtype(table[factor]) or pd.api.types.is_bool_dtype(table[factor]):
            table[factor] = table[factor].astype(str)
    return table, unlabelled


def _tag_table(tags: pd.Series, names: Sequence[str]) -> pd.DataFrame:
    """One boolean column per name, whether clips have it or not."""
    place = {name: column for column, name in enumerate(names)}
    table = np.zeros((len(tags), len(names)), dtype=bool)
    for row, mine in enumerate(tags):
        table[row, [place[name] for name in mine]] = True
    return pd.DataFrame(table, columns=list(names))


def _check_classes(factors: pd.DataFrame, name: str) -> None:
    for factor in factors:
        if factors[factor].nunique() < 2:
            raise UserError(
                f"{name}: expected at least two classes of {factor!r}, all {len(factors)} clips have "
                f"{str(factors[factor].iloc[0])!r}: leave it out of data.factors, or widen data.where or data.clips"
            )


def _cells(table: pd.DataFrame, factors: list[str]) -> np.ndarray:
    """Number of the cell of each row, over the categorical factors."""
    categorical = [f for f in factors if not pd.api.types.is_numeric_dtype(table[f])]
    return table.groupby(categorical, sort=True).ngroup().to_numpy() if categorical else np.zeros(len(table), int)


def _water_fill(table: pd.DataFrame, factors: list[str], order: np.ndarray, clips: int) -> np.ndarray:
    """The rows of a subsample, sorted: in the given order, first one of each cell, then a second one ..."""
    cells = _cells(table, factors)[order]
    rank = pd.Series(cells).groupby(cells).cumcount().to_numpy()
    return np.sort(order[np.argsort(rank, kind="stable")][:clips])


class _Scan:
    """Measurements of the files under a root, kept in a CSV file.

    A row is trusted while size and times of its file are unchanged; else the content's hash decides. Files younger
    than two seconds are never trusted by their times, as an edit within the clock's grain leaves them the same.
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
            if reader.fieldnames != list(_SCAN_COLUMNS):
                return {}
            rows = [{column: kind(row[column]) for column, kind in _SCAN_COLUMNS.items()} for row in reader]
        return {(row["path"], row["start_s"], row["stop_s"]): row for row in rows}

    def rows(self, table: pd.DataFrame) -> list[dict[str, Any]]:
        """One row of measurements per row of the table."""
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
                with ThreadPoolExecutor(_READ_THREADS) as pool:
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
        return _stamp(self.root / path) == {column: first[column] for column in _STAMP}

    def _measure(self, path: str, windows: list[tuple[float, float | None]]) -> list[dict[str, Any]]:
        full = self.root / path
        stamp = _stamp(full)
        try:
            sha256 = audio.sha256_of(full)
        except OSError:  # missing or unreadable: measured as such
            sha256 = ""
        if time.time_ns() - max(stamp["mtime_ns"], stamp["ctime_ns"]) < _FRESH_NS:
            stamp = dict.fromkeys(_STAMP, -2)
        known = [self._by_content.get((sha256, *window)) for window in windows]
        measured = known if sha256 and all(known) else audio.measure(full, windows)
        return [
            {"path": path, "start_s": start, "stop_s": stop, **stamp, "sha256": sha256}
            | {column: row[column] for column in _MEASURES}
            for (start, stop), row in zip(windows, measured, strict=True)
        ]

    def _save(self) -> None:
        if self.file is None or not self.known:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list(_SCAN_COLUMNS), lineterminator="\n")
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
        return dict.fromkeys(_STAMP, -1)
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
