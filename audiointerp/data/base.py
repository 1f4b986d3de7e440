"""Sounds: clips with a table of factors, the groups they come from, and a fingerprint of what is heard."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

PADS = ("floor", "zeros", "repeat")


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
