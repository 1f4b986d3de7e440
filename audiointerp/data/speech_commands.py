"""Speech Commands v2: single words of at most a second, a folder per word and the official lists of the splits."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from audiointerp.data.base import AudioFiles, data_folder
from audiointerp.data.labelled import subsets_of
from audiointerp.study import UserError

NAME = re.compile(r"([0-9a-f]+)_nohash_(\d+)\.wav")
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
SUBSETS = ("train", "validation", "test")


class SpeechCommands(AudioFiles):
    """Spoken words with the factors `word` and `speaker`.

    A group is a speaker; the official lists keep speakers apart. `_background_noise_` is left out.

    Args:
        root: Folder that holds one folder per word, `validation_list.txt` and `testing_list.txt`.
        subsets: Names out of `train`, `validation`, `test`; None for all.
        sample_rate: Rate of the waveforms given [Hz]; the files have 16000 Hz.
        factors: Names out of `word`, `speaker`; None for `word`.
        where: Column to allowed values, e.g. `{word: [yes, no]}`.
        clips: Size of a subsample balanced over the factors' cells, None for all.
        strict: Whether a missing or unusable clip is an error instead of a warning.
        pad: How clips shorter than a segment are padded: `floor`, `zeros` or `repeat`.
        cache: Folder for the measurements of the files, None for none.
        seed: Seed of the subsample.
        keep_mb: Decoded sounds stay in memory if all of them take less [MB].
        progress: As `RunContext.progress`; None for a bar that appears after two seconds.
    Raises:
        UserError: If the folder, the words or a list is missing, or as in `AudioFiles`.
    References:
        Speech commands: a dataset for limited-vocabulary speech recognition (Warden, 2018).
    """

    def __init__(
        self,
        root: str | os.PathLike,
        subsets: Sequence[str] | None = None,
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
        folder = data_folder(root, "Speech Commands")
        chosen = subsets_of(subsets, SUBSETS)
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
        dropped = dropped[[listed[path] in chosen for path in missing]]
        super().__init__(
            folder,
            table[table["fold"].isin(chosen)],
            factors=["word"] if factors is None else factors,
            sample_rate=sample_rate,
            where=where,
            clips=clips,
            strict=strict,
            pad=pad,
            cache=cache,
            seed=seed,
            keep_mb=keep_mb,
            progress=progress,
            name="Speech Commands v2",
            note="Groups are speakers.",
            attribution="Speech Commands v2 (P. Warden, 2018), CC BY 4.0",
            dropped=dropped,
        )
