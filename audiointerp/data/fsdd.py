"""Free Spoken Digit Dataset: spoken digits, `recordings/{digit}_{speaker}_{take}.wav`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from audiointerp.data.audio_files import data_folder
from audiointerp.data.corpus import Corpus, Listing
from audiointerp.study import UserError

NAME = re.compile(r"(\d)_([^_]+)_(\d+)\.wav")


class FSDD(Corpus):
    """Spoken digits with the factors `digit` and `speaker` (and `take`, a number, where asked for).

    The root holds `recordings/`, of 8000 Hz. A group is one take, which is one file: no two files were cut from the
    same utterance. A speaker is at once a factor and a recording session; decoding that shall hold for a new speaker
    leaves whole speakers out. All arguments are `Corpus`'.
    """

    name = "FSDD"
    attribution = "Free Spoken Digit Dataset (Jackson et al.), CC BY-SA 4.0"
    first_factors = ("digit", "speaker")

    def listing(self, folder: Path, subsets: list[str] | None) -> Listing:
        folder = data_folder(folder / "recordings", "FSDD's recordings")
        names = [match for name in sorted(os.listdir(folder)) if (match := NAME.fullmatch(name))]
        if not names:
            raise UserError(
                f"expected files named digit_speaker_take.wav in {folder}, found none: "
                "set paths.data (or AUDIOINTERP_DATA) to the folder that holds fsdd/"
            )
        table = pd.DataFrame(
            {
                "path": [f"recordings/{m[0]}" for m in names],
                "group": [m[0].removesuffix(".wav") for m in names],
                "digit": [m[1] for m in names],
                "speaker": [m[2] for m in names],
                "take": [int(m[3]) for m in names],
            }
        )
        note = (
            f"{table.speaker.nunique()} speakers: speaker is a factor and a recording session at once, so what is "
            "read of the speaker may be read of the microphone and the room."
        )
        return Listing(table, note=note)
