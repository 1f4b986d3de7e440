"""SONYC-UST: street sounds with several of 8 coarse or 23 fine labels, `annotations.csv` and folders of recordings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from typing_extensions import Unpack

from audiointerp.data.audio_files import AudioFiles, Reading, data_folder
from audiointerp.data.folder import read_table
from audiointerp.data.labelled import files_by_stem, present
from audiointerp.study import UserError

LEVELS = ("coarse", "fine")
SUBSETS = {"train": "train", "validate": "validation", "test": "test"}
COLUMNS = ("split", "sensor_id", "audio_filename", "annotator_id")
ENDING = "_presence"
AGREED = 0
"""The annotator that stands for the labels on which the corpus' authors agreed; crowd workers have numbers above it."""


class SONYCUST(AudioFiles):
    """SONYC Urban Sound Tagging as far as its recordings are there; `tags` has a column for each class.

    A clip has the labels that the authors agreed on; where they did not look at it, those that any annotator heard (the
    corpus' own rule). A group is a sensor, the folds are the official `train`, `validation` and `test`: training and
    validation share no sensor, the test recordings were made later. A clip without any label stays, with no tag. The
    factor `subset` is the fold.

    Args:
        root: Folder that holds `annotations.csv` and the recordings, in any folders below it.
        level: `coarse` (8 classes) or `fine` (23 classes, without the `X` of unknown ones).
        factors: Columns that are factors; None for `subset`.
        **reading: As in `Reading`, e.g. `where={subset: [train, validation]}`; the files have 48000 Hz.
    Raises:
        UserError: If the level is unknown, the folder, the table, one of its columns or all recordings are missing, a
            split is another than the three, or as in `AudioFiles`.
    References:
        SONYC-UST-V2: an urban sound tagging dataset with spatiotemporal context (Cartwright et al., 2020).
    """

    def __init__(
        self,
        root: str | os.PathLike,
        level: str = "coarse",
        *,
        factors: Sequence[str] | None = None,
        **reading: Unpack[Reading],
    ) -> None:
        if level not in LEVELS:
            raise UserError(f"expected data.level of {', '.join(LEVELS)}, got {level!r}")
        folder = data_folder(root, "SONYC-UST")
        meta, names = _annotations(folder / "annotations.csv", level)
        files = files_by_stem(folder, (".",))
        table = pd.DataFrame(
            {
                "id": meta["audio_filename"],
                "path": [files.get(Path(name).stem) for name in meta["audio_filename"]],
                "group": "sensor " + meta["sensor_id"],
                "fold": meta["split"].map(SUBSETS),
                "tags": meta["tags"],
                "subset": meta["split"].map(SUBSETS),
            }
        )
        kept, dropped = present(table, "SONYC-UST", os.fspath(folder))
        super().__init__(
            folder,
            kept,
            factors=["subset"] if factors is None else factors,
            name=f"SONYC-UST ({level})",
            note="Groups are sensors. Labels are the authors' where there are some, else what any annotator heard.",
            attribution="SONYC-UST (Cartwright et al., 2020), CC BY 4.0",
            dropped=dropped,
            tag_names=names,
            **reading,
        )


def _annotations(file: Path, level: str) -> tuple[pd.DataFrame, list[str]]:
    """One row per recording: split, sensor_id, audio_filename, tags; and the names of all tags."""
    table = read_table(file, COLUMNS)
    unknown = sorted(set(table["split"]) - set(SUBSETS))
    if unknown:
        raise UserError(f"expected splits {', '.join(SUBSETS)} in {file}, got {unknown[0]!r}")
    # `1_engine_presence` is coarse, `1-2_medium-sounding-engine_presence` fine, `1-X_...` fine but not known which.
    columns = {}
    for column in table.columns:
        number, _, name = column.removesuffix(ENDING).partition("_")
        if column.endswith(ENDING) and number[:1].isdigit() and ("-" in number) == (level == "fine"):
            if not number.endswith("-X"):
                columns[column] = name
    if not columns:
        raise UserError(f"expected columns such as 1_engine_presence in {file}, got {', '.join(table.columns[:8])} ...")
    agreed = pd.to_numeric(table["annotator_id"]) == AGREED
    has_agreed = agreed.groupby(table["audio_filename"]).transform("any")
    counted = table[agreed | ~has_agreed]
    heard = (counted[list(columns)].apply(pd.to_numeric, errors="coerce") > 0).groupby(counted["audio_filename"]).any()
    meta = table.drop_duplicates("audio_filename").sort_values("audio_filename").reset_index(drop=True)
    heard = heard.loc[meta["audio_filename"]].to_numpy()
    names = list(columns.values())
    meta["tags"] = [tuple(name for name, there in zip(names, row, strict=True) if there) for row in heard]
    return meta, names
