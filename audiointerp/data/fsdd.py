"""Free Spoken Digit Dataset: spoken digits, `recordings/{digit}_{speaker}_{take}.wav`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from audiointerp.data.base import AudioFiles, data_folder
from audiointerp.study import UserError

NAME = re.compile(r"(\d)_([^_]+)_(\d+)\.wav")


class FSDD(AudioFiles):
    """Spoken digits with the factors `digit` and `speaker` (and `take`, a number, where asked for).

    A group is one take, which is one file: no two files were cut from the same utterance. A speaker is at once a factor
    and a recording session; decoding that shall hold for a new speaker leaves whole speakers out.

    Args:
        root: Folder that holds `recordings/`.
        sample_rate: Rate of the waveforms given [Hz]; the files have 8000 Hz.
        factors: Names out of `digit`, `speaker`, `take`; None for digit and speaker.
        where: Column to allowed values, e.g. `{speaker: [theo, george]}`.
        clips: Size of a subsample balanced over the factors' cells, None for all.
        strict: Whether an unusable file is an error instead of a warning.
        pad: How clips shorter than a segment are padded: `floor`, `zeros` or `repeat`.
        cache: Folder for the measurements of the files, None for none.
        seed: Seed of the subsample.
        keep_mb: Decoded sounds stay in memory if all of them take less [MB].
        progress: As `RunContext.progress`; None for a bar that appears after two seconds.
    Raises:
        UserError: If the folder or the recordings are missing, or as in `AudioFiles`.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        sample_rate: int = 16000,
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
        folder = data_folder(data_folder(root, "FSDD") / "recordings", "FSDD's recordings")
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
        super().__init__(
            root,
            table,
            factors=["digit", "speaker"] if factors is None else factors,
            sample_rate=sample_rate,
            where=where,
            clips=clips,
            strict=strict,
            pad=pad,
            cache=cache,
            seed=seed,
            keep_mb=keep_mb,
            progress=progress,
            name="FSDD",
            note=f"{table.speaker.nunique()} speakers: speaker is a factor and a recording session at once, so what is "
            "read of the speaker may be read of the microphone and the room.",
            attribution="Free Spoken Digit Dataset (Jackson et al.), CC BY-SA 4.0",
        )
