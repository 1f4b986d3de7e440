"""FSD50K: sounds of 0.3 to 30 s with several of 200 labels, `FSD50K.ground_truth/` and two folders of clips."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd

from audiointerp.data.corpus import Corpus, Listing
from audiointerp.data.folder import read_table
from audiointerp.data.labelled import check_labels, files_by_stem, present
from audiointerp.study import UserError

FOLDERS = ("FSD50K.dev_audio", "FSD50K.eval_audio")
METADATA = ("dev_clips_info_FSD50K.json", "eval_clips_info_FSD50K.json")


class FSD50K(Corpus):
    """FSD50K as far as its clips are there; `tags` has a column for each class of its vocabulary.

    The root holds `FSD50K.ground_truth/`, `FSD50K.dev_audio/` and `FSD50K.eval_audio/`; `subsets` are `train`, `val`
    and `eval`. A group is an uploader where `FSD50K.metadata/` is there, else a clip; the official splits keep
    uploaders apart. The factor `first_label` is the first label that the table lists (the most particular one),
    `subset` the fold. All arguments are `Corpus`'.

    References:
        FSD50K: an open dataset of human-labeled sound events (Fonseca et al., 2020).
    """

    name = "FSD50K"
    attribution = "FSD50K (Fonseca et al., 2020), CC BY 4.0"
    first_factors = ("first_label",)
    parts = ("train", "val", "eval")

    def listing(self, folder: Path, subsets: list[str] | None) -> Listing:
        subsets = subsets or list(self.parts)
        truth = folder / "FSD50K.ground_truth"
        names = vocabulary(truth / "vocabulary.csv")
        parts = []
        if {"train", "val"} & set(subsets):
            development = read_table(truth / "dev.csv", ("fname", "labels", "split"))
            parts.append(development.assign(fold=development["split"]))
        if "eval" in subsets:
            parts.append(read_table(truth / "eval.csv", ("fname", "labels")).assign(fold="eval"))
        table = pd.concat(parts, ignore_index=True)
        table = table[table["fold"].isin(subsets)].reset_index(drop=True)
        table["labels"] = [tuple(labels.split(",")) for labels in table["labels"]]
        check_labels(table["labels"], names, self.name)
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
        kept, dropped = present(table, self.name, " and ".join(os.fspath(folder / name) for name in FOLDERS))
        note = f"Groups are {'uploaders' if uploaders else 'clips, as FSD50K.metadata is not there'}."
        return Listing(kept, dropped, names, note)


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
