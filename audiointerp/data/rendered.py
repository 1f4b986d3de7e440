"""Sounds that are computed: each clip from its own random stream, many at a time, the same in every batch."""

from __future__ import annotations

import functools
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pandas as pd

from audiointerp.data.base import Sounds, hash_of
from audiointerp.data.clip_store import ClipStore
from audiointerp.study import write_atomically

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

WORTH_KEEPING = 5_000
BATCH = 256


@functools.cache
def _blas() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class Rendering(TypedDict, total=False):
    """How clips are rendered: what every synthetic corpus takes by name and hands on to `Rendered`.

    Attributes:
        keep_mb: Rendered clips stay in memory if all of them together take less [MB], 512 by default.
        threads: Clips rendered at once; None (default) for as many as there are cores.
        progress: Called as `progress(iterable, description=, total=)`, e.g. `RunContext.progress`; None (default) for a
            bar that appears after two seconds.
    """

    keep_mb: float
    threads: int | None
    progress: Callable | None


class Rendered(Sounds):
    """Clips of one length that a subclass renders one by one from its own random stream.

    A clip's working set fits into a core's cache and no value depends on a neighbour, so a few threads over single
    clips are as quick as arrays over many, and a clip has the same bits in every batch, subset and process. What
    is not told below is told in `Rendering`.

    Args:
        clips: Number of clips.
        length: Samples of a clip.
        cache: Folder in which the levels of large corpora are kept; None for none.
        store_mb: More clips are kept in a file in the cache, written as their levels are measured, if they take less
            [MB] and less than half of the free space.
    """

    batched = True

    def __init__(
        self,
        clips: int,
        length: int,
        cache: str | os.PathLike | None = None,
        keep_mb: float = 512,
        store_mb: float = 8192,
        threads: int | None = None,
        progress: Callable | None = None,
    ) -> None:
        self.length = length
        self.lengths = np.full(clips, length, dtype=np.int64)
        self.dropped = pd.DataFrame(columns=["path", "reason"])
        self.threads, self.progress = threads, progress
        self._cache = None if cache is None else Path(cache).expanduser() / "sounds"
        size_mb = 4e-6 * clips * length
        self._kept = np.empty((clips, length), np.float32) if size_mb < keep_mb else None
        self._stored = self._kept is None and self._cache is not None and size_mb < store_mb
        self._is_kept = np.zeros(clips, dtype=bool)

    @abstractmethod
    def render(self, i: int) -> np.ndarray:
        """Computes clip `i`: float32, shape `(length,)`, in [-1, 1], from nothing but the settings and `i`."""

    def waveform(self, i: int) -> np.ndarray:
        """Samples of clip `i`, float32, shape `(length,)`."""
        return self.waveforms([i])[0]

    def waveforms(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Samples of clips, rendered by a few threads; float32, shape `(B, length)`."""
        indices = np.asarray(indices, dtype=np.int64)
        if self._kept is not None and self._is_kept[indices].all():
            return self._kept[indices]
        if self._store is not None and (rows := self._store.read(indices)) is not None:
            return rows
        out = np.empty((len(indices), self.length), dtype=np.float32)

        def fill(row: int) -> None:
            out[row] = self._clip(int(indices[row]))

        threads = min(self.threads or os.cpu_count() or 1, len(indices))
        # The products of one clip are small: BLAS threads of their own would only wait for one another.
        with _blas().limit(limits=1, user_api="blas"):
            if threads < 2:
                for row in range(len(indices)):
                    fill(row)
            else:
                with ThreadPoolExecutor(threads) as pool:
                    list(pool.map(fill, range(len(indices))))
        return out

    def _clip(self, i: int) -> np.ndarray:
        if self._kept is None:
            return self.render(i)
        if not self._is_kept[i]:
            self._kept[i] = self.render(i)
            self._is_kept[i] = True
        return self._kept[i]

    @functools.cached_property
    def levels(self) -> pd.DataFrame:
        """Duration, RMS and peak of each clip; rendered at the first use, kept in the cache for large corpora."""
        columns = ["duration_s", "rms_db", "peak_db"]
        file = self._folder / "levels.csv" if self._folder is not None and len(self) >= WORTH_KEEPING else None
        if file is not None and file.is_file():
            known = pd.read_csv(file)
            if list(known.columns) == columns and len(known) == len(self):
                return known
        rows = []
        starts = range(0, len(self), BATCH)
        with nullcontext(lambda waveforms: None) if self._store is None else self._store.writing() as keep:
            for start in self._shown(starts, len(starts)):
                waveforms = self.waveforms(np.arange(start, min(start + BATCH, len(self))))
                rms = np.sqrt(np.mean(waveforms**2, axis=1, dtype=np.float64))
                rows.append(np.stack([rms, np.abs(waveforms).max(axis=1)], axis=1))
                keep(waveforms)
        db = 20.0 * np.log10(np.concatenate(rows))
        table = pd.DataFrame(
            {"duration_s": self.length / self.sample_rate, "rms_db": db[:, 0], "peak_db": db[:, 1]}, columns=columns
        )
        if file is not None:
            try:
                write_atomically(file, table.to_csv(index=False, lineterminator="\n"))
            except OSError as error:
                warnings.warn(f"the levels of the sounds could not be kept ({error}): set paths.cache", stacklevel=2)
        return table

    @functools.cached_property
    def _folder(self) -> Path | None:
        return None if self._cache is None else self._cache / hash_of("rendered-1", self.fingerprint)

    @functools.cached_property
    def _store(self) -> ClipStore | None:
        return ClipStore(self._folder / "clips.f32", len(self), self.length) if self._stored else None

    def _shown(self, items: Iterable, total: int) -> Iterable:
        if self.progress is not None:
            return self.progress(items, description="rendering sounds", total=total)
        from tqdm.auto import tqdm

        return tqdm(items, desc="rendering sounds", total=total, unit="batch", delay=2, leave=False)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_kept": None}  # a worker process renders what it needs
