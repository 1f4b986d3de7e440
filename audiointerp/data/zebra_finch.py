"""Zebra finch vocal repertoire: calls of eleven types, `<Bird>_<date>-<type>-<number>.wav` (Elie and Theunissen)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from audiointerp.data.base import AudioFiles, data_folder
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


class ZebraFinch(AudioFiles):
    """Zebra finch calls with the factors `call`, `age` (`adult` or `chick`, from the folder) and `bird`.

    A group is a bird: a call type is told in birds that were not trained on. Files whose type is not one of the eleven
    are left out and told.

    Args:
        root: Folder that holds the files, in any folders below it, such as `AdultVocalizations/`.
        factors: Names out of `call`, `age`, `bird`; None for `call`.
        sample_rate: Rate of the waveforms given [Hz].
        where: Column to allowed values, e.g. `{age: [adult]}`.
        clips: Size of a subsample balanced over the factors' cells, None for all.
        strict: Whether an unusable file is an error instead of a warning.
        pad: How clips shorter than a segment are padded: `floor`, `zeros` or `repeat`.
        cache: Folder for the measurements of the files, None for none.
        seed: Seed of the subsample.
        keep_mb: Decoded sounds stay in memory if all of them take less [MB].
        progress: As `RunContext.progress`; None for a bar that appears after two seconds.
    Raises:
        UserError: If no file is named so, or as in `AudioFiles`.
    References:
        The vocal repertoire of the domesticated zebra finch (Elie and Theunissen, 2016).
    """

    def __init__(
        self,
        root: str | os.PathLike,
        factors: Sequence[str] | None = None,
        sample_rate: int = 16000,
        where: Mapping[str, Sequence] | None = None,
        clips: int | None = None,
        strict: bool = False,
        pad: str = "floor",
        cache: str | os.PathLike | None = None,
        seed: int = 0,
        keep_mb: float = 512,
        progress: Callable | None = None,
    ) -> None:
        folder = data_folder(root, "zebra finch calls")
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
        super().__init__(
            folder,
            pd.DataFrame(rows, columns=["path", "group", "call", "age", "bird"]),
            factors=["call"] if factors is None else factors,
            sample_rate=sample_rate,
            where=where,
            clips=clips,
            strict=strict,
            pad=pad,
            cache=cache,
            seed=seed,
            keep_mb=keep_mb,
            progress=progress,
            name="Zebra finch calls",
            note="A group is a bird; few birds utter all types.",
            attribution="Vocal repertoires of zebra finches (Elie and Theunissen)",
            dropped=pd.DataFrame(unknown, columns=["path", "reason"]),
        )
