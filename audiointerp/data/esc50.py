"""ESC-50 and ESC-10: environmental sounds of 5 s, `audio/` and `meta/esc50.csv`."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pandas as pd
from typing_extensions import Unpack

from audiointerp.data.audio_files import AudioFiles, Reading, data_folder
from audiointerp.data.folder import read_table
from audiointerp.study import UserError

COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file")
MAJOR = ("animals", "nature", "human", "domestic", "urban")


class ESC50(AudioFiles):
    """Environmental sounds with the factors `category` and `major` (the five families that ESC-50 names).

    A group is a source clip of Freesound (`src_file`), from which several sounds may be cut; the folds are the official
    ones and keep source clips whole.

    Args:
        root: Folder that holds `audio/` and `meta/esc50.csv`.
        esc10_only: Whether only the ten classes of ESC-10 are taken.
        factors: Names of `category`, `major`; None for both, or for `category` alone in ESC-10.
        **reading: As in `Reading`, e.g. `where={category: [dog, rain], fold: [1, 2]}`; the files have 44100 Hz.
    Raises:
        UserError: If the folder, the table or one of its columns is missing, or as in `AudioFiles`.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        esc10_only: bool = False,
        factors: Sequence[str] | None = None,
        **reading: Unpack[Reading],
    ) -> None:
        name = "ESC-10" if esc10_only else "ESC-50"
        folder = data_folder(root, name)
        file = folder / "meta" / "esc50.csv"
        meta = read_table(file, COLUMNS)
        if not meta.target.str.fullmatch(r"[1-4]?\d").all():
            raise UserError(f"expected targets 0 to 49 in {file}, got {sorted(set(meta.target))[:5]} ...")
        if esc10_only:
            meta = meta[meta.esc10.str.lower() == "true"]
        table = pd.DataFrame(
            {
                "path": "audio/" + meta.filename,
                "group": meta.src_file,
                "fold": meta.fold,
                "category": meta.category,
                "major": [MAJOR[int(target) // 10] for target in meta.target],
            }
        )
        default = ["category"] if esc10_only else ["category", "major"]
        super().__init__(
            folder,
            table,
            factors=default if factors is None else factors,
            name=name,
            note="Groups are source clips; many clips end in digital silence where the source was shorter than 5 s.",
            attribution="ESC (K. J. Piczak, 2015), " + ("CC BY" if esc10_only else "CC BY-NC"),
            **reading,
        )
