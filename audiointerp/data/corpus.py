"""What readers of published corpora share: a corpus lists its files, everything else is the same for all."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from audiointerp.data.base import AudioFiles, data_folder, nearest
from audiointerp.study import UserError


@dataclass(frozen=True)
class Listing:
    """What a corpus says of its clips.

    Attributes:
        table: One row per clip, as `AudioFiles` takes it.
        dropped: `path` and `reason` of what it lists and does not have; None for nothing.
        tag_names: Names of all tags, in order, where the table has a column `tags`.
        note: A sentence for the report; None for the corpus' own.
    """

    table: pd.DataFrame
    dropped: pd.DataFrame | None = None
    tag_names: Sequence[str] = ()
    note: str | None = None


class Corpus(AudioFiles):
    """A corpus in the layout that it is published in; a subclass gives its facts and its `listing`.

    Args:
        root: Folder of the corpus; its layout is the subclass'.
        sample_rate: Rate of the waveforms given [Hz].
        subsets: Names of the corpus' own parts; None for all that are there.
        factors: Names of columns; None for those that the subclass puts first.
        where: Column to allowed values, e.g. `{speaker: [theo, george]}`.
        clips: Size of a subsample balanced over the factors' cells, None for all.
        strict: Whether a missing or unusable clip is an error instead of a warning.
        pad: How clips shorter than a segment are padded: `floor`, `zeros` or `repeat`.
        cache: Folder for the measurements of the files, None for none.
        seed: Seed of the subsample.
        keep_mb: Decoded sounds stay in memory if all of them take less [MB].
        progress: As `RunContext.progress`; None for a bar that appears after two seconds.
    Attributes:
        first_factors: Factors where none are asked for.
        parts: Names of the corpus' own parts; empty where it has none.
    Raises:
        UserError: If the folder is missing, there is no such part, or as in `listing` and `AudioFiles`.
    """

    first_factors: ClassVar[tuple[str, ...]]
    parts: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        root: str | os.PathLike,
        sample_rate: int = 16000,
        subsets: Sequence[str] | None = None,
        factors: Sequence[str] | None = None,
        where: Mapping[str, Sequence] | None = None,
        clips: int | None = None,
        strict: bool = False,
        pad: str = "floor",
        cache: str | os.PathLike | None = None,
        seed: int = 0,
        keep_mb: float = 512,
        progress: Callable | None = None,
    ) -> None:
        folder = data_folder(root, self.name)
        listed = self.listing(folder, None if subsets is None else chosen(subsets, self.parts))
        super().__init__(
            folder,
            listed.table,
            factors=self.first_factors if factors is None else factors,
            sample_rate=sample_rate,
            where=where,
            clips=clips,
            strict=strict,
            pad=pad,
            cache=cache,
            seed=seed,
            keep_mb=keep_mb,
            progress=progress,
            name=self.name,
            note=self.note if listed.note is None else listed.note,
            attribution=self.attribution,
            dropped=listed.dropped,
            tag_names=listed.tag_names,
        )

    @abstractmethod
    def listing(self, folder: Path, subsets: list[str] | None) -> Listing:
        """Lists the clips of some parts; None for all that are there.

        Raises:
            UserError: If a table, a column or all clips are missing.
        """


def chosen(subsets: Sequence[str] | str, parts: Sequence[str]) -> list[str]:
    """Gives the chosen parts of a corpus in the corpus' order.

    Raises:
        UserError: If one is unknown, or none is left.
    Example:
        >>> chosen(["eval", "train"], ("train", "val", "eval"))
        ['train', 'eval']
    """
    subsets = [subsets] if isinstance(subsets, str) else list(subsets)
    for name in subsets:
        if name not in parts:
            raise UserError(f"data.subsets: there is no {name!r}: {nearest(name, parts)}")
    if not subsets:
        raise UserError(f"expected data.subsets with names out of {', '.join(parts)}, got none")
    return [name for name in parts if name in subsets]
