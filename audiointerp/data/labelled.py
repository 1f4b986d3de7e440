"""What readers of corpora with several labels per clip share: the files that are there, and the rows without one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from audiointerp.data.base import nearest
from audiointerp.study import UserError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aif", ".aiff", ".opus")


def files_by_stem(root: Path, folders: Iterable[str]) -> dict[str, str]:
    """Lists the sound files under some folders, at any depth: names without ending, to paths relative to the root.

    Args:
        root: The corpus.
        folders: Folders in it; what is not there is left out.
    """
    found: dict[str, str] = {}
    for folder in folders:
        for place, _, names in os.walk(root / folder):
            for name in names:
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in SUFFIXES:
                    found[stem] = Path(place, name).relative_to(root).as_posix()
    return found


def present(table: pd.DataFrame, name: str, where: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Splits a corpus' table into rows with a file and a list of those without, as `AudioFiles` takes them.

    Args:
        table: With `path`, missing where there is no file, and `id`, what the corpus calls the clip.
        name: The corpus.
        where: Where its files were looked for.
    Raises:
        UserError: If not a single file is there.
    """
    missing = table["path"].isna()
    if missing.all():
        raise UserError(
            f"{name}: expected sound files in {where}, found none of the {len(table)} that its tables list: "
            "set data.root to the folder that holds them"
        )
    dropped = pd.DataFrame({"path": table.loc[missing, "id"], "reason": "no such file"})
    return table[~missing].drop(columns="id").reset_index(drop=True), dropped


def check_labels(labels: Iterable[tuple[str, ...]], names: Iterable[str], name: str) -> None:
    """Holds the labels of all clips against the vocabulary.

    Raises:
        UserError: If a label is not in it.
    """
    known = set(names)
    for mine in labels:
        for label in mine:
            if label not in known:
                raise UserError(f"{name}: the vocabulary has no label {label!r}: {nearest(label, sorted(known)[:30])}")
