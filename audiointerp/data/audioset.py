"""AudioSet: clips of ten seconds with several of 527 labels, `*_segments.csv` and a folder of clips."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pandas as pd

from audiointerp.data.corpus import Corpus, Listing
from audiointerp.data.folder import read_table
from audiointerp.data.labelled import check_labels, files_by_stem, present
from audiointerp.study import UserError

SUBSETS = {
    "balanced": "balanced_train_segments.csv",
    "unbalanced": "unbalanced_train_segments.csv",
    "eval": "eval_segments.csv",
}


class AudioSet(Corpus):
    """AudioSet's segments as far as their clips are there; `tags` has a column for each class.

    The root holds the segment tables and `class_labels_indices.csv`; `subsets` are `balanced`, `unbalanced` and `eval`.
    Clips are looked for at any depth below it, by name: the video's id, with or without a leading `Y`, and with or
    without the segment's start, or start and end, in seconds or milliseconds (`ID`, `YID`, `ID_30.000`, `ID_30000`,
    `ID_30000_40000`, `ID_30`). A group is a video. The factor `first_label` is the first label that the table lists,
    for studies that ask for one class per clip; `subset` is the fold. All arguments are `Corpus`'.

    References:
        Audio Set: an ontology and human-labeled dataset for audio events (Gemmeke et al., 2017).
    """

    name = "AudioSet"
    note = "Groups are videos. Labels are what raters heard somewhere in ten seconds."
    attribution = "AudioSet (Google), labels CC BY 4.0"
    first_factors = ("first_label",)
    parts = tuple(SUBSETS)

    def listing(self, folder: Path, subsets: list[str] | None) -> Listing:
        there = [name for name, file in SUBSETS.items() if (folder / file).is_file()]
        if not there:
            raise UserError(f"expected one of {', '.join(SUBSETS.values())} in {folder}, found none: set data.root")
        vocabulary = read_table(folder / "class_labels_indices.csv")
        if not {"index", "mid", "display_name"} <= set(vocabulary):
            raise UserError(
                f"expected the columns index, mid and display_name in {folder / 'class_labels_indices.csv'}, got "
                f"{', '.join(vocabulary)}: take the file that AudioSet gives"
            )
        names = dict(zip(vocabulary["mid"], vocabulary["display_name"], strict=True))
        table = pd.concat([read_segments(folder / SUBSETS[name]).assign(fold=name) for name in subsets or there])
        check_labels(table["labels"], names, self.name)
        files = files_by_stem(folder, ["."])
        table["path"] = [
            next((files[stem] for stem in stems_of(row.id, row.from_s, row.to_s) if stem in files), None)
            for row in table.itertuples()
        ]
        table["tags"] = [tuple(names[mid] for mid in mids) for mids in table["labels"]]
        table["first_label"] = [mine[0] for mine in table["tags"]]
        table["group"], table["subset"] = table["id"], table["fold"]
        table = table.drop(columns=["from_s", "to_s", "labels"]).reset_index(drop=True)
        kept, dropped = present(table, self.name, os.fspath(folder))
        return Listing(kept, dropped, list(vocabulary["display_name"]))


def read_segments(file: Path) -> pd.DataFrame:
    """Reads a segments table: `id`, `from_s` and `to_s` [s], `labels` (tuples of machine ids).

    Raises:
        UserError: If it is missing, or a row has other than four cells.
    """
    if not file.is_file():
        raise UserError(f"expected a table of segments at {file}, there is none: set data.root or data.subsets")
    rows = []
    with file.open(newline="", encoding="utf-8") as lines:
        for number, cells in enumerate(csv.reader(lines, skipinitialspace=True), start=1):
            if not cells or cells[0].startswith("#"):
                continue
            try:
                video, start, stop, labels = cells
                rows.append((video, float(start), float(stop), tuple(labels.split(","))))
            except ValueError as error:
                raise UserError(
                    f"{file}, line {number}: expected an id, start, end and quoted labels, got {cells}"
                ) from error
    if not rows:
        raise UserError(f"expected one row per segment in {file}, it has none")
    return pd.DataFrame(rows, columns=["id", "from_s", "to_s", "labels"])


def stems_of(video: str, from_s: float, to_s: float) -> list[str]:
    """Gives the names that clips of a segment go by, the most particular first.

    Example:
        >>> stems_of("abc", 30.0, 40.0)[:2], stems_of("abc", 30.0, 40.0)[-1]
        (['abc_30000_40000', 'Yabc_30000_40000'], 'Yabc')
    """
    starts = [f"_{round(1000 * from_s)}_{round(1000 * to_s)}", f"_{from_s:.3f}_{to_s:.3f}"]
    starts += [f"_{round(1000 * from_s)}", f"_{from_s:.3f}", f"_{from_s:g}", ""]
    return [f"{prefix}{video}{start}" for start in starts for prefix in ("", "Y")]
