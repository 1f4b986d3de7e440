"""UrbanSound8K: ten classes of urban sounds, `audio/fold1..10/` and `metadata/UrbanSound8K.csv`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from audiointerp.data.corpus import Corpus, Listing
from audiointerp.data.folder import read_table

COLUMNS = ("slice_file_name", "fsID", "fold", "class", "salience")


class UrbanSound8K(Corpus):
    """Urban sounds with the factor `category`; a group is a recording of Freesound, the folds are the official ten.

    The root holds `audio/` and `metadata/UrbanSound8K.csv`; `where={salience: [1]}` keeps what is in the foreground.
    All arguments are `Corpus`'.
    """

    name = "UrbanSound8K"
    note = "Groups are recordings of Freesound, of which one may hold sounds of several classes."
    attribution = "UrbanSound8K (Salamon, Jacoby and Bello, 2014), CC BY-NC 3.0"
    first_factors = ("category",)

    def listing(self, folder: Path, subsets: list[str] | None) -> Listing:
        meta = read_table(folder / "metadata" / "UrbanSound8K.csv", COLUMNS)
        table = pd.DataFrame(
            {
                "path": "audio/fold" + meta["fold"] + "/" + meta["slice_file_name"],
                "group": meta["fsID"],
                "fold": meta["fold"],
                "category": meta["class"],
                "salience": meta["salience"],
            }
        )
        return Listing(table)
