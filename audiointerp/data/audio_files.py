"""Sounds from files, or windows of files, that a table lists."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from audiointerp import audio
from audiointerp.data.base import PADS, Sounds, nearest
from audiointerp.data.scan import Scan
from audiointerp.study import UserError, stream


class Reading(TypedDict, total=False):
    """How files are read: what every reader of a corpus takes by name and hands on to `AudioFiles`.

    Attributes:
        sample_rate: Rate of the waveforms given [Hz], 16000 by default; files of any rate are resampled.
        where: Column to allowed values, e.g. `{speaker: [theo, george]}`; other rows are left out without being read.
            None (default) for all.
        clips: Size of a subsample, as equal as possible over the cells of the categorical factors; None (default) for
            all. Only what is chosen is read. A smaller subsample of the same seed is part of a larger one.
        strict: Whether a file that is missing or cannot be used is an error; by default it is left out, with a warning.
        pad: How clips shorter than a segment are padded: `floor` (default), `zeros` or `repeat`.
        cache: Folder in which `sounds/<sha256>/scan.csv` is kept, what was measured of the files; None (default) for
            none.
        seed: Seed of the subsample, 0 by default.
        keep_mb: Decoded waveforms stay in memory if all of them together take less [MB], 512 by default.
        progress: Called as `progress(iterable, description=, total=)`, e.g. `RunContext.progress`; None (default) for a
            bar that appears after two seconds.
    """

    sample_rate: int
    where: Mapping[str, Sequence] | None
    clips: int | None
    strict: bool
    pad: str
    cache: str | os.PathLike | None
    seed: int
    keep_mb: float
    progress: Callable | None


class AudioFiles(Sounds):
    """Sounds from files, or windows of files, that a table lists.

    Every file is read once on construction (two threads; the measurements are cached by content), so that what cannot
    be used is found before any work starts: missing, corrupt, truncated, empty, silent (peak under -90 dBFS or
    constant) or not finite. Such files go into `dropped` and are told in one warning. What is not told below is told in
    `Reading`.

    Args:
        root: Folder that the paths are relative to.
        table: `path`; `group` (default: each file its own); `fold`, `start_s`, `stop_s`, `tags` (optional: each a
            tuple of names); further columns are what factors are chosen from. Numeric columns give numeric factors.
        factors: Names of columns.
        normalise: Whether each file is divided by its largest absolute sample.
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
        scan = Scan(self.root, cache, progress)
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
