"""Zebra finch vocal repertoire: calls of eleven types, `<Bird>_<date>-<type>-<number>.wav` (Elie and Theunissen)."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from audiointerp.data.corpus import Corpus, Listing
from audiointerp.study import UserError

NAME = re.compile(r"([A-Za-z0-9]+)_(\d{6})[-_]([A-Za-z]{2})[-_](.+)\.wav", re.IGNORECASE)
CALLS = {
    "ag": "aggressive",
    "be": "begging",
    "dc": "distance",
    "di": "distress",
    "lt": "long tonal",
    "ne": "nest",
    "so": "song",
    "te": "tet",
    "th": "thuk",
    "tu": "tuck",
    "wh": "whine",
}


class ZebraFinch(Corpus):
    """Zebra finch calls with the factors `call`, `age` (`adult` or `chick`, from the folder) and `bird`.

    The root holds the files, in any folders below it, such as `AdultVocalizations/`. A group is a bird: a call type is
    told in birds that were not trained on. Files whose type is not one of the eleven are left out and told. All
    arguments are `Corpus`'.

    References:
        The vocal repertoire of the domesticated zebra finch (Elie and Theunissen, 2016).
    """

    name = "Zebra finch calls"
    note = "A group is a bird; few birds utter all types."
    attribution = "Vocal repertoires of zebra finches (Elie and Theunissen)"
    first_factors = ("call",)

    def listing(self, folder: Path, subsets: list[str] | None) -> Listing:
        rows, unknown = [], []
        for file in sorted(folder.rglob("*")):
            match, path = NAME.fullmatch(file.name), file.relative_to(folder).as_posix()
            if match is None:
                continue
            call = CALLS.get(match[3].lower())
            if call is None:
                unknown.append((path, f"no call type is written {match[3]!r}"))
                continue
            rows.append((path, match[1], call, "chick" if "chick" in path.lower() else "adult", match[1]))
        if not rows:
            raise UserError(
                f"expected files such as BlaBla0506_110302-DC-01.wav below {folder}, found none: set data.root to the "
                "folder of the zebra finch repertoire"
            )
        table = pd.DataFrame(rows, columns=["path", "group", "call", "age", "bird"])
        return Listing(table, pd.DataFrame(unknown, columns=["path", "reason"]))
