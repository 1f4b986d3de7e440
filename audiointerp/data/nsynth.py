"""NSynth and corpora in its layout: single notes, `examples.json` and `audio/`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from typing_extensions import Unpack

from audiointerp.data.audio_files import AudioFiles, Reading, data_folder
from audiointerp.study import UserError

REGISTERS = ("low", "mid", "high")
SPLITS = ("nsynth-train", "nsynth-valid", "nsynth-test")
GROUPS = ("instrument_pitch", "instrument")


class NSynth(AudioFiles):
    """Notes with the factors `instrument_family` and `register`.

    Available besides: `instrument`, `instrument_source`, and the numbers `pitch` (MIDI) and `velocity`. The register is
    the tercile of a note's pitch among all notes of the corpus that the options keep, so that it is a coarse
    pitch and confounded with the instrument's range; `shared_pitch_only` takes the confound away. A group is an
    instrument and a pitch: notes that differ in velocity or length alone stay together. With many instruments per
    family it can be the instrument, so that a family is told in instruments that were not trained on.

    The folder may also hold NSynth's own `nsynth-train`, `nsynth-valid` and `nsynth-test`, or some of them; they are
    read together, and the fold of a note says where it was. `clips` reads no more files than it takes.

    Args:
        root: Folder that holds `examples.json` and `audio/`.
        shared_pitch_only: Whether only pitches are kept that every family (after `where`) has.
        factors: Names of factors; None for instrument_family and register.
        group_by: `instrument_pitch` or `instrument`.
        name: Name for headings.
        attribution: Source and licence, for the report.
        **reading: As in `Reading`, e.g. `where={instrument_source: [acoustic]}`; NSynth has 16000 Hz.
    Attributes:
        notes: Family, instrument, source, pitch and velocity of every note, whether they are factors or not.
    Raises:
        UserError: If `group_by` is unknown, the folder or `examples.json` is missing or not as NSynth's, no pitch is
            shared by all families, or as in `AudioFiles`. A note without audio is left out and counted like a corrupt
            file.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        shared_pitch_only: bool = False,
        factors: Sequence[str] | None = None,
        group_by: str = "instrument_pitch",
        name: str = "NSynth",
        attribution: str = "NSynth (Engel et al., 2017), CC BY 4.0",
        **reading: Unpack[Reading],
    ) -> None:
        folder = data_folder(root, name)
        if group_by not in GROUPS:
            raise UserError(f"expected data.group_by of {' or '.join(GROUPS)}, got {group_by!r}")
        table = _read(folder)
        if group_by == "instrument":
            table["group"] = table["instrument"]
        where = reading.get("where") or {}
        kept = pd.Series(True, index=table.index)
        for column in set(where) & set(table):  # unknown names and values are told by AudioFiles
            allowed = [where[column]] if isinstance(where[column], (str, int, float)) else where[column]
            kept &= table[column].astype(str).isin([str(value) for value in allowed])
        note = "Register is derived from pitch, and confounded with the instrument's range."
        if shared_pitch_only and kept.any():
            families = table[kept].groupby("pitch").instrument_family.nunique()
            shared = families.index[families == table[kept].instrument_family.nunique()]
            if not len(shared):
                raise UserError(
                    f"{name}: expected a pitch that all {table[kept].instrument_family.nunique()} families have, "
                    "there is none: choose fewer with data.where.instrument_family, or set data.shared_pitch_only=false"
                )
            kept &= table.pitch.isin(shared)
            note = f"Only the {len(shared)} pitches that all families have are taken; register is derived from pitch."
            table, kept = table[kept], kept[kept]
        edges = np.quantile(table.pitch[kept], [1 / 3, 2 / 3]) if kept.any() else [0, 0]
        table = table.assign(register=np.array(REGISTERS)[np.searchsorted(edges, table.pitch)])
        if table.groupby("instrument_family").instrument.nunique().max() == 1:
            note += " One specimen per instrument: whether it holds for other specimens cannot be told."
        super().__init__(
            folder,
            table,
            factors=["instrument_family", "register"] if factors is None else factors,
            name=name,
            note=note,
            attribution=attribution,
            **reading,
        )
        columns = ["instrument_family", "instrument", "instrument_source", "pitch", "velocity"]
        self.notes = table.set_index("path")[columns].loc[self.path].reset_index(drop=True)


def _read(folder: Path) -> pd.DataFrame:
    """The table of a folder of notes, or of NSynth's own splits in it."""
    splits = [name for name in SPLITS if (folder / name / "examples.json").is_file()]
    if (folder / "examples.json").is_file() or not splits:
        return _table(folder, _examples(folder / "examples.json"))
    parts = [_table(folder / name, _examples(folder / name / "examples.json")) for name in splits]
    parts = [part.assign(path=name + "/" + part["path"], fold=name) for name, part in zip(splits, parts, strict=True)]
    return pd.concat(parts, ignore_index=True)


def _examples(file: Path) -> dict[str, dict[str, Any]]:
    if not file.is_file():
        raise UserError(f"expected NSynth's table of notes at {file}, there is none: unpack it there, or set data.root")
    try:
        examples = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"expected JSON in {file}, it cannot be read ({error}): fetch it again") from error
    needed = ("instrument_str", "instrument_family_str", "instrument_source_str", "pitch", "velocity")
    if not isinstance(examples, dict) or not examples:
        raise UserError(f"expected one entry per note in {file}, got {type(examples).__name__} without entries")
    for note, entry in examples.items():
        missing = [key for key in needed if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise UserError(f"expected {missing[0]!r} for each note in {file}, note {note!r} has none")
        for key in ("pitch", "velocity"):
            value = entry[key]
            if not isinstance(value, int) and not (isinstance(value, float) and value.is_integer()):
                raise UserError(
                    f"expected {key} as a whole number (MIDI) for each note in {file}, note {note!r} has {value!r}"
                )
    return examples


def _table(folder: Path, examples: dict[str, dict[str, Any]]) -> pd.DataFrame:
    present = set(os.listdir(folder / "audio")) if (folder / "audio").is_dir() else set()
    flac = {note: f"{note}.flac" in present for note in examples}
    entries = examples.values()
    return pd.DataFrame(
        {
            "path": [f"audio/{note}.{'flac' if flac[note] else 'wav'}" for note in examples],
            "group": [f"{entry['instrument_str']}:{entry['pitch']}" for entry in entries],
            "instrument_family": [entry["instrument_family_str"] for entry in entries],
            "instrument": [entry["instrument_str"] for entry in entries],
            "instrument_source": [entry["instrument_source_str"] for entry in entries],
            "pitch": [int(entry["pitch"]) for entry in entries],
            "velocity": [int(entry["velocity"]) for entry in entries],
        }
    )
