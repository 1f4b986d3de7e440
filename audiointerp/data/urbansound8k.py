"""UrbanSound8K: ten classes of urban sounds, `audio/fold1..10/` and `metadata/UrbanSound8K.csv`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from audiointerp.data.base import AudioFiles, data_folder, nearest
from audiointerp.data.folder import read_table
from audiointerp.study import UserError

COLUMNS = ("slice_file_name", "fsID", "fold", "class", "salience")


class UrbanSound8K(AudioFiles):
    """Urban sounds with the factor `category`; a group is a recording of Freesound, the folds are the official ten.

    Args:
        root: Folder that holds `audio/` and `metadata/UrbanSound8K.csv`.
        sample_rate: Rate of the waveforms given [Hz]; the files have several.
        where: Column to allowed values, e.g. `{salience: [1]}` for what is in the foreground.
        clips: Size of a subsample balanced over classes, None for all.
        strict: Whether an unusable file is an error instead of a warning.
        pad: How clips shorter than a segment are padded: `floor`, `zeros` or `repeat`.
        cache: Folder for the measurements of the files, None for none.
        seed: Seed of the subsample.
        keep_mb: Decoded sounds stay in memory if all of them take less [MB].
        progress: As `RunContext.progress`; None for a bar that appears after two seconds.
    Raises:
        UserError: If the folder, the table or one of its columns is missing, or as in `AudioFiles`.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        sample_rate: int = 16000,
        where: Mapping[str, Sequence] | None = None,
        clips: int | None = None,
        strict: bool = False,
        pad: str = "floor",
        cache: str | os.PathLike | None = None,
        seed: int = 0,
        keep_mb: float = 512,
        progress: Callable | None = None,
    ) -> None:
        folder = data_folder(root, "UrbanSound8K")
        file = folder / "metadata" / "UrbanSound8K.csv"
        meta = read_table(file)
        for column in COLUMNS:
            if column not in meta:
                raise UserError(f"expected a column {column!r} in {file}: {nearest(column, meta.columns)}")
        table = pd.DataFrame(
            {
                "path": "audio/fold" + meta["fold"] + "/" + meta["slice_file_name"],
                "group": meta["fsID"],
                "fold": meta["fold"],
                "category": meta["class"],
                "salience": meta["salience"],
            }
        )
        super().__init__(
            folder,
            table,
            factors=["category"],
            sample_rate=sample_rate,
            where=where,
            clips=clips,
            strict=strict,
            pad=pad,
            cache=cache,
            seed=seed,
            keep_mb=keep_mb,
            progress=progress,
            name="UrbanSound8K",
            note="Groups are recordings of Freesound, of which one may hold sounds of several classes.",
            attribution="UrbanSound8K (Salamon, Jacoby and Bello, 2014), CC BY-NC 3.0",
        )
