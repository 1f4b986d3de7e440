"""Speech Commands v2: single words of at most a second, a folder per word and the official lists of the splits."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from audiointerp.data.corpus import Corpus, Listing
from audiointerp.study import UserError

NAME = re.compile(r"([0-9a-f]+)_nohash_(\d+)\.wav")
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}


class SpeechCommands(Corpus):
    """Spoken words with the factors `word` and `speaker`.

    The root holds one folder per word, `validation_list.txt` and `testing_list.txt`; `subsets` are `train`,
    `validation` and `test`. A group is a speaker; the official lists keep speakers apart. `_background_noise_` is left
    out. All arguments are `Corpus`'.

    References:
        Speech commands: a dataset for limited-vocabulary speech recognition (Warden, 2018).
    """

    name = "Speech Commands v2"
    note = "Groups are speakers."
    attribution = "Speech Commands v2 (P. Warden, 2018), CC BY 4.0"
    first_factors = ("word",)
    parts = ("train", "validation", "test")

    def listing(self, folder: Path, subsets: list[str] | None) -> Listing:
        subsets = subsets or list(self.parts)
        listed: dict[str, str] = {}
        for subset, name in LISTS.items():
            if not (folder / name).is_file():
                raise UserError(f"expected the list of a split at {folder / name}, there is none: set data.root")
            listed |= dict.fromkeys((folder / name).read_text(encoding="utf-8").split(), subset)
        rows = []
        for word in sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()):
            if not word.startswith(("_", ".")):
                for name in sorted(os.listdir(folder / word)):
                    if match := NAME.fullmatch(name):
                        path = f"{word}/{name}"
                        rows.append((path, match[1], listed.get(path, "train"), word, match[1]))
        if not rows:
            raise UserError(f"expected files named WORD/SPEAKER_nohash_N.wav in {folder}, found none: set data.root")
        table = pd.DataFrame(rows, columns=["path", "group", "fold", "word", "speaker"])
        missing = sorted(set(listed) - set(table["path"]))
        dropped = pd.DataFrame({"path": missing, "reason": "listed, but no such file"})
        dropped = dropped[[listed[path] in subsets for path in missing]]
        return Listing(table[table["fold"].isin(subsets)], dropped)
