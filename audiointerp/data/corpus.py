"""What readers of published corpora share: a corpus lists its files, everything else is the same for all."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd
from typing_extensions import Unpack

from audiointerp.data.audio_files import AudioFiles, Reading, data_folder
from audiointerp.data.base import nearest
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
        subsets: Names of the corpus' own parts; None for all that are there.
        factors: Names of columns; None for those that the subclass puts first.
        **reading: As in `Reading`.
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
        *,
        subsets: Sequence[str] | None = None,
        factors: Sequence[str] | None = None,
        **reading: Unpack[Reading],
    ) -> None:
        folder = data_folder(root, self.name)
        listed = self.listing(folder, None if subsets is None else chosen(subsets, self.parts))
        super().__init__(
            folder,
            listed.table,
            factors=self.first_factors if factors is None else factors,
            name=self.name,
            note=self.note if listed.note is None else listed.note,
            attribution=self.attribution,
            dropped=listed.dropped,
            tag_names=listed.tag_names,
            **reading,
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
