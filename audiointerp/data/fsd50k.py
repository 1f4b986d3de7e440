"""FSD50K: sounds of 0.3 to 30 s with several of 200 labels, `FSD50K.ground_truth/` and two folders of clips."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from audiointerp.data.base import AudioFiles, data_folder
from audiointerp.data.folder import read_table
from audiointerp.data.labelled import check_labels, files_by_stem, present, subsets_of
from audiointerp.study import UserError

SUBSETS = ("train", "val", "eval")
FOLDERS = ("FSD50K.dev_audio", "FSD50K.eval_audio")
METADATA = ("dev_clips_info_FSD50K.json", "eval_clips_info_FSD50K.json")


class FSD50K(AudioFiles):
    """FSD50K as far as its clips are there; `tags` has a column for each class of its vocabulary.

    A group is an uploader where `FSD50K.metadata/` is there, else a clip; the official splits keep uploaders apart.
    The factor `first_label` is the first label that the table lists (the most particular one), `subset` the fold.

    Args:
        root: Folder that holds `FSD50K.ground_truth/`, `FSD50K.dev_audio/` and `FSD50K.eval_audio/`.
        subsets: Names out of `train`, `val`, `eval`; None for all.
        sample_rate: Rate of the waveforms given [Hz]; the files have 44100 Hz.
        factors: Names out of `first_label`, `subset`; None for `first_label`.
        where: Column to allowed values.
        clips: Size of a subsample, None for all.
        strict: Whether a missing or unusable clip is an error instead of a warning.
        pad: How clips shorter than a segment are padded: `floor`, `zeros` or `repeat`.
        cache: Folder for the measurements of the files, None for none.
        seed: Seed of the subsample.
        keep_mb: Decoded sounds stay in memory if all of them take less [MB].
        progress: As `RunContext.progress`; None for a bar that appears after two seconds.
    Raises:
        UserError: If a folder, a table, a column or all clips are missing, a label is not in the vocabulary, or as in
            `AudioFiles`.
    References:
        FSD50K: an open dataset of human-labeled sound events (Fonseca et al., 2020).
    """

    def __init__(
        self,
        root: str | os.PathLike,
        subsets: Sequence[str] | None = None,
        sample_rate: int = 8000,
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
        folder = data_folder(root, "FSD50K")
        chosen = subsets_of(subsets, SUBSETS)
        truth = folder / "FSD50K.ground_truth"
        names = vocabulary(truth / "vocabulary.csv")
        parts = []
        if {"train", "val"} & set(chosen):
            development = _truth(truth / "dev.csv", ("fname", "labels", "split"))
            parts.append(development.assign(fold=development["split"]))
        if "eval" in chosen:
            parts.append(_truth(truth / "eval.csv", ("fname", "labels")).assign(fold="eval"))
        table = pd.concat(parts, ignore_index=True)
        table = table[table["fold"].isin(chosen)].reset_index(drop=True)
        table["labels"] = [tuple(labels.split(",")) for labels in table["labels"]]
        check_labels(table["labels"], names, "FSD50K")
        files, uploaders = files_by_stem(folder, FOLDERS), uploaders_of(folder / "FSD50K.metadata")
        table = pd.DataFrame(
            {
                "id": table["fname"],
                "path": [files.get(name) for name in table["fname"]],
                "group": [uploaders.get(name, f"clip {name}") for name in table["fname"]],
                "fold": table["fold"],
                "tags": table["labels"],
                "first_label": [mine[0] for mine in table["labels"]],
                "subset": table["fold"],
            }
        )
        kept, dropped = present(table, "FSD50K", " and ".join(os.fspath(folder / name) for name in FOLDERS))
        super().__init__(
            folder,
            kept,
            factors=["first_label"] if factors is None else factors,
            sample_rate=sample_rate,
            where=where,
            clips=clips,
            strict=strict,
            pad=pad,
            cache=cache,
            seed=seed,
            keep_mb=keep_mb,
            progress=progress,
            name="FSD50K",
            note=f"Groups are {'uploaders' if uploaders else 'clips, as FSD50K.metadata is not there'}.",
            attribution="FSD50K (Fonseca et al., 2020), CC BY 4.0",
            dropped=dropped,
            tag_names=names,
        )


def vocabulary(file: Path) -> list[str]:
    """Reads the names of the labels from `vocabulary.csv` (index, label, machine id; no header).

    Raises:
        UserError: If it is missing or has fewer than two columns.
    """
    if not file.is_file():
        raise UserError(f"expected FSD50K's vocabulary at {file}, there is none: set data.root")
    table = pd.read_csv(file, header=None, dtype=str, keep_default_na=False)
    if table.shape[1] < 2:
        raise UserError(f"expected index, label and machine id in {file}, got {table.shape[1]} column")
    return table[1].tolist()


def uploaders_of(folder: Path) -> dict[str, str]:
    """Reads who uploaded each clip, where the metadata is there; else nothing."""
    found: dict[str, str] = {}
    for name in METADATA:
        if (folder / name).is_file():
            facts = json.loads((folder / name).read_text(encoding="utf-8"))
            found |= {clip: str(item["uploader"]) for clip, item in facts.items() if "uploader" in item}
    return found


def _truth(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    table = read_table(file)
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"expected a column {missing[0]!r} in {file}, got {', '.join(table)}")
    return table
