"""AudioSet: clips of ten seconds with several of 527 labels, `*_segments.csv` and a folder of clips."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from audiointerp.data.base import AudioFiles, data_folder
from audiointerp.data.folder import read_table
from audiointerp.data.labelled import check_labels, files_by_stem, present, subsets_of
from audiointerp.study import UserError

SUBSETS = {
    "balanced": "balanced_train_segments.csv",
    "unbalanced": "unbalanced_train_segments.csv",
    "eval": "eval_segments.csv",
}


class AudioSet(AudioFiles):
    """AudioSet's segments as far as their clips are there; `tags` has a column for each class.

    Clips are looked for at any depth under `clips_folder`, by name: the video's id, with or without a leading `Y`, and
    with or without the segment's start, or start and end, in seconds or milliseconds (`ID`, `YID`, `ID_30.000`,
    `ID_30000`, `ID_30000_40000`, `ID_30`). A group is a video. The factor `first_label` is the first label that the
    table lists, for studies that ask for one class per clip; `subset` is the fold.

    Args:
        root: Folder with the segment tables and `class_labels_indices.csv`.
        subsets: Names out of `balanced`, `unbalanced`, `eval`; None for those whose table is there.
        clips_folder: Folder of the clips, inside `root`.
        sample_rate: Rate of the waveforms given [Hz].
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
        UserError: If a folder, a table or all clips are missing, a label is not in the vocabulary, or as in
            `AudioFiles`.
    References:
        Audio Set: an ontology and human-labeled dataset for audio events (Gemmeke et al., 2017).
    """

    def __init__(
        self,
        root: str | os.PathLike,
        subsets: Sequence[str] | None = None,
        clips_folder: str = "audio",
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
        folder = data_folder(root, "AudioSet")
        there = [name for name, file in SUBSETS.items() if (folder / file).is_file()]
        if not there:
            raise UserError(f"expected one of {', '.join(SUBSETS.values())} in {folder}, found none: set data.root")
        vocabulary = read_table(folder / "class_labels_indices.csv")
        if not {"index", "mid", "display_name"} <= set(vocabulary):
            raise UserError(
                f"expected the columns index, mid and display_name in {folder / 'class_labels_indices.csv'}, got "
                f"{', '.join(vocabulary)}: take the file that AudioSet gives"
            )
        chosen = subsets_of(there if subsets is None else subsets, SUBSETS)
        names = dict(zip(vocabulary["mid"], vocabulary["display_name"], strict=True))
        table = pd.concat([read_segments(folder / SUBSETS[name]).assign(fold=name) for name in chosen])
        check_labels(table["labels"], names, "AudioSet")
        files = files_by_stem(folder, [clips_folder])
        table["path"] = [
            next((files[stem] for stem in stems_of(row.id, row.from_s, row.to_s) if stem in files), None)
            for row in table.itertuples()
        ]
        table["tags"] = [tuple(names[mid] for mid in mids) for mids in table["labels"]]
        table["first_label"] = [mine[0] for mine in table["tags"]]
        table["group"], table["subset"] = table["id"], table["fold"]
        kept, dropped = present(
            table.drop(columns=["from_s", "to_s", "labels"]).reset_index(drop=True),
            "AudioSet",
            os.fspath(folder / clips_folder),
        )
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
            name="AudioSet",
            note="Groups are videos. Labels are what raters heard somewhere in ten seconds.",
            attribution="AudioSet (Google), labels CC BY 4.0",
            dropped=dropped,
            tag_names=list(vocabulary["display_name"]),
        )


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
